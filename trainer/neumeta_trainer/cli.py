"""The ``neumeta`` command."""

from __future__ import annotations

import inspect as signatures
import logging
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from neumeta_core.errors import NeuMetaError
from neumeta_core.manifold import Manifold
from rich.console import Console
from rich.table import Table

from neumeta_trainer.baselines.alone import train_alone
from neumeta_trainer.compute import Compute
from neumeta_trainer.config import Recipe
from neumeta_trainer.data import LOADERS, Splits
from neumeta_trainer.export.manifold import FILE_NAME
from neumeta_trainer.files import write_whole
from neumeta_trainer.overrides import overridden
from neumeta_trainer.pipeline import run
from neumeta_trainer.recipes import RECIPES, TIERS
from neumeta_trainer.results.card import publish as publish_run
from neumeta_trainer.results.record import ALONE, write_record
from neumeta_trainer.results.recording import records_of
from neumeta_trainer.results.report import file_facts, write_report
from neumeta_trainer.training.progress import BarProgress, LogProgress, Progress

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Train weight manifolds and look into their files.")
out_console, error_console = Console(), Console(stderr=True)

RecipeName = Annotated[str, typer.Argument(help=f"One of: {', '.join(RECIPES)}.")]
Compressions = Annotated[list[float], typer.Argument(help="Of the members whose widths the networks get.")]
DataFolder = Annotated[Path | None, typer.Option("--data", envvar="NEUMETA_DATA", help="Folder with the data sets in their standard formats.")]
OutFolder = Annotated[Path, typer.Option("--out", help="Folder for the manifold, its report and the checkpoints.")]
Tier = Annotated[str | None, typer.Option("--tier", help="Amount of training, for recipes that have several: trial, short or long.")]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Change one field of the recipe: family.members=2, tune=none, inr.kind=mlp. Repeatable."),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
Records = Annotated[Path | None, typer.Option("--records", help="Folder for a record of the results, for `neumeta report`.")]
Final = Annotated[bool, typer.Option("--final", help="Train on all images and measure on the test split, once; without it a part is set aside.")]


@app.command()
def train(
    recipe: RecipeName,
    out: OutFolder,
    data: DataFolder = None,
    tier: Tier = None,
    assignments: Assignments = None,
    device: Device = "auto",
    networks: Annotated[Path | None, typer.Option("--networks", help="Folder of a run whose trained base and family are used again.")] = None,
    records: Records = None,
    final: Final = False,
) -> None:
    """Train the manifold of a recipe. Start it again after an interruption and it goes on where it was.

    Several processes: torchrun --nproc-per-node 2 -m neumeta_trainer train …

    Example: neumeta train digits --out runs/digits
    """
    with _errors(out), Compute.resolve(device) as compute:
        chosen = _recipe(recipe, tier, assignments)
        result = run(chosen, _load(chosen, data), out, _progress(compute), final=final, compute=compute, networks=networks)
        if not compute.processes.is_first:
            return
        write_report(result, out)
        if records is not None:
            for record in records_of(chosen, result, _command(), ", ".join(assignments or ())):
                out_console.print(f"Recorded {write_record(record, records)}.")
        _show(result.manifold)
        out_console.print(f"Wrote {out / FILE_NAME}, report.json and curve.png.")


@app.command()
def alone(
    recipe: RecipeName,
    compressions: Compressions,
    out: OutFolder,
    data: DataFolder = None,
    tier: Tier = None,
    assignments: Assignments = None,
    device: Device = "auto",
    distilled: Annotated[bool, typer.Option("--distilled", help="Learn from the full network trained alone, which comes first.")] = False,
    equal_macs: Annotated[bool, typer.Option("--equal-macs", help="Train each for the multiply-adds of the whole manifold, not its steps.")] = False,
    records: Records = None,
    final: Final = False,
) -> None:
    """Train networks of one size alone, with the recipe of the manifold: what the manifold is compared with."""
    with _errors(out), Compute.resolve(device) as compute:
        chosen = _recipe(recipe, tier, assignments)
        record = train_alone(
            chosen,
            compressions,
            _load(chosen, data),
            out,
            _progress(compute),
            command=_command(),
            distilled=distilled,
            equal_macs=equal_macs,
            final=final,
            compute=compute,
        )
        if not compute.processes.is_first:
            return
        if record.method == "alone":
            write_whole(out / ALONE, record.model_dump_json(indent=1) + "\n")
        if records is not None:
            out_console.print(f"Recorded {write_record(record, records)}.")
        for point in record.measurements:
            out_console.print(f"compression {point.compression:g}, trained {record.method}: {100 * point.quality:.2f} %")


@app.command()
def publish(
    run: Annotated[Path, typer.Argument(help="Folder of a finished `neumeta train`.")],
    models: Annotated[Path, typer.Option("--to", help="Models folder of the service.")] = Path("models"),
    alone: Annotated[Path | None, typer.Option("--alone", help="Folder with the results of `neumeta alone`, for the card.")] = None,
) -> None:
    """Put a finished run where the service finds it, with its card, report and picture."""
    with _errors(None):
        out_console.print(f"Published {publish_run(run, alone, models)}")


@app.command()
def inspect(file: Path) -> None:
    """Check a manifold file and show what it holds."""
    with _errors(None):
        _show(Manifold.load(file))


def _show(manifold: Manifold) -> None:
    header, facts = manifold.header, file_facts(manifold)
    out_console.print(f"[bold]{header.name} {header.version}[/bold]: {header.task}, INR kind {header.inr.kind}, data {header.training.get('data')}")
    out_console.print(
        f"{facts['bytes']:,} bytes = {facts['bytes_over_full_network']} of the full network in fp32; "
        f"{facts['coordinate_network_share']:.1%} of the stored values are coordinate networks"
    )
    for group in header.architecture.groups:
        out_console.print(f"  {group.name}: {group.minimum} to {group.full} channels")
    if header.curve is None:
        return
    title = f"{header.curve.samples:,} {header.curve.split} images; * widths never trained"
    table = Table("compression", "parameters", "MACs", header.curve.metric, title=title)
    for point in header.curve.points:
        mark = " *" if point.held_out else ""
        table.add_row(f"{point.compression:.2f}{mark}", f"{point.params:,}", f"{point.macs:,}", f"{100 * point.quality:.2f} %")
    out_console.print(table)


def _recipe(name: str, tier: str | None, assignments: list[str] | None) -> Recipe:
    if name not in RECIPES:
        raise typer.BadParameter(f"{name!r} is not known; choose one of {', '.join(RECIPES)}.", param_hint="RECIPE")
    make = RECIPES[name]
    if tier is not None and "tier" not in signatures.signature(make).parameters:
        raise typer.BadParameter(f"{name} has only one amount of training.", param_hint="--tier")
    if tier is not None and tier not in TIERS:
        raise typer.BadParameter(f"{tier!r} is not known; choose one of {', '.join(TIERS)}.", param_hint="--tier")
    return overridden(make(tier=tier) if tier else make(), assignments or ())


def _command() -> str:
    """What was typed, without folders of this machine."""
    folders = ("--out", "--data", "--networks", "--records")
    words = sys.argv[1:]
    kept = [word for before, word in zip(["", *words], words, strict=False) if word not in folders and before not in folders]
    return shlex.join(["neumeta", *kept])


def _progress(compute: Compute) -> Progress:
    return BarProgress(error_console) if compute.processes.is_first else LogProgress()


def _load(recipe: Recipe, data: Path | None) -> Splits:
    return LOADERS[recipe.data](data)


@contextmanager
def _errors(out: Path | None) -> Iterator[None]:
    """Turn expected errors into one sentence and exit code 1, and Ctrl-C into 130 with what to do next."""
    level = logging.getLevelNamesMapping().get(os.environ.get("NEUMETA_LOG_LEVEL", "").upper(), logging.WARNING)
    logging.basicConfig(level=level, format="%(levelname)s %(message)s")
    try:
        yield
    except (NeuMetaError, OSError) as error:
        error_console.print(f"[red]error:[/red] {error}")
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        error_console.print(f"Interrupted. The state is kept in {out}; the same command goes on from there." if out else "Interrupted.")
        raise typer.Exit(130) from None
