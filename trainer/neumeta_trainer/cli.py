"""The ``neumeta`` command."""

from __future__ import annotations

import inspect as signatures
import json
import logging
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from neumeta_core.errors import NeuMetaError
from neumeta_core.manifold import Manifold
from rich.console import Console
from rich.table import Table

from neumeta_trainer.baselines.alone import alone_name, train_alone
from neumeta_trainer.baselines.comparison import METHODS, baseline_records
from neumeta_trainer.compute import Compute
from neumeta_trainer.config import Recipe
from neumeta_trainer.data import LOADERS, Splits
from neumeta_trainer.export.manifold import FILE_NAME
from neumeta_trainer.files import write_whole
from neumeta_trainer.overrides import overridden
from neumeta_trainer.pipeline import run
from neumeta_trainer.recipes import RECIPES, TIERS
from neumeta_trainer.results.card import publish as publish_run
from neumeta_trainer.results.record import RunRecord, write_record
from neumeta_trainer.results.report import file_facts, write_report
from neumeta_trainer.training.progress import BarProgress, LogProgress, Progress

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Train weight manifolds and look into their files.")
out_console, error_console = Console(), Console(stderr=True)

RecipeName = Annotated[str, typer.Argument(help=f"One of: {', '.join(RECIPES)}.")]
Compression = Annotated[float, typer.Argument(help="Of the member whose widths the network gets.")]
DataFolder = Annotated[Path | None, typer.Option("--data", envvar="NEUMETA_DATA", help="Folder with the data sets in their standard formats.")]
OutFolder = Annotated[Path, typer.Option("--out", help="Folder for the manifold, its report and the checkpoints.")]
Tier = Annotated[str | None, typer.Option("--tier", help="Amount of training, for recipes that have several: trial, short or long.")]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Change one field of the recipe: family.members=2, tune=none, inr.kind=mlp. Repeatable."),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
Final = Annotated[bool, typer.Option("--final", help="Train on all images and measure on the test split, once; without it a part is set aside.")]


@app.command()
def train(
    recipe: RecipeName,
    out: OutFolder,
    data: DataFolder = None,
    tier: Tier = None,
    assignments: Assignments = None,
    device: Device = "auto",
    final: Final = False,
) -> None:
    """Train the manifold of a recipe. Start it again after an interruption and it goes on where it was.

    Several processes: torchrun --nproc-per-node 2 -m neumeta_trainer train …

    Example: neumeta train digits --out runs/digits
    """
    with _errors(out), Compute.resolve(device) as compute:
        chosen = _recipe(recipe, tier, assignments)
        result = run(chosen, _load(chosen, data), out, _progress(compute), final=final, compute=compute)
        if not compute.processes.is_first:
            return
        write_report(result, out)
        _show(result.manifold)
        out_console.print(f"Wrote {out / FILE_NAME}, report.json and curve.png.")


@app.command()
def alone(
    recipe: RecipeName,
    compression: Compression,
    out: OutFolder,
    data: DataFolder = None,
    tier: Tier = None,
    assignments: Assignments = None,
    device: Device = "auto",
    distilled: Annotated[bool, typer.Option("--distilled", help="Learn from the full network trained alone, which comes first.")] = False,
    final: Final = False,
) -> None:
    """Train a network of one size alone, with the recipe of the manifold: what the manifold is compared with."""
    with _errors(out), Compute.resolve(device) as compute:
        chosen = _recipe(recipe, tier, assignments)
        splits = _load(chosen, data)
        quality = train_alone(chosen, compression, splits, out, _progress(compute), distilled=distilled, final=final, compute=compute)
        if not compute.processes.is_first:
            return
        out.mkdir(parents=True, exist_ok=True)
        result = {"compression": compression, "quality": quality, "distilled": distilled, "final": final}
        write_whole(out / f"{alone_name(compression, distilled=distilled)}.json", json.dumps(result) + "\n")
        out_console.print(f"compression {compression:g}, trained alone: {100 * quality:.2f} %")


@app.command()
def baselines(
    recipe: RecipeName,
    out: OutFolder,
    methods: Annotated[list[str] | None, typer.Option("--method", help=f"Repeatable; all when left out: {', '.join(METHODS)}.")] = None,
    records: Annotated[Path | None, typer.Option("--records", help="Folder for the records; OUT/records when left out.")] = None,
    data: DataFolder = None,
    tier: Tier = None,
    assignments: Assignments = None,
    device: Device = "auto",
    final: Final = False,
) -> None:
    """Measure pruned, resampled and slimmable networks at the sizes of a manifold's members, and record them.

    The full network is trained alone first, unless `neumeta alone RECIPE 0` left its checkpoint in the same folder.
    """
    if unknown := set(methods or ()) - set(METHODS):
        raise typer.BadParameter(f"{sorted(unknown)[0]!r} is not known; choose some of {', '.join(METHODS)}.", param_hint="--method")
    with _errors(out), Compute.resolve(device) as compute:
        chosen, said = _recipe(recipe, tier, assignments), _command("baselines", recipe, tier, assignments, final)
        splits = _load(chosen, data)
        for record in baseline_records(chosen, splits, out, _progress(compute), methods, final=final, compute=compute, command=said):
            if not compute.processes.is_first:
                continue
            write_record(record, records or out / "records")
            out_console.print(_row(record), soft_wrap=True)


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


def _row(record: RunRecord) -> str:
    points = (f"{'' if point.compression is None else f'{point.compression:.2f}: '}{100 * point.quality:.2f} %" for point in record.measurements)
    return f"{record.method:<30}{'  '.join(points)}"


def _recipe(name: str, tier: str | None, assignments: list[str] | None) -> Recipe:
    if name not in RECIPES:
        raise typer.BadParameter(f"{name!r} is not known; choose one of {', '.join(RECIPES)}.", param_hint="RECIPE")
    make = RECIPES[name]
    if tier is not None and "tier" not in signatures.signature(make).parameters:
        raise typer.BadParameter(f"{name} has only one amount of training.", param_hint="--tier")
    if tier is not None and tier not in TIERS:
        raise typer.BadParameter(f"{tier!r} is not known; choose one of {', '.join(TIERS)}.", param_hint="--tier")
    return overridden(make(tier=tier) if tier else make(), assignments or ())


def _command(verb: str, recipe: str, tier: str | None, assignments: list[str] | None, final: bool) -> str:
    """The command that makes a result again, without the folders of this machine."""
    settings = [*(["--tier", tier] if tier else []), *(word for value in assignments or () for word in ("--set", value))]
    return shlex.join(["neumeta", verb, recipe, "--out", "DIR", *settings, *(["--final"] if final else [])])


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
