"""The ``neumeta`` command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from neumeta_core.manifold import Manifold
from rich.table import Table

from neumeta_trainer.baselines.alone import train_alone
from neumeta_trainer.cli_analyse import app as analyse_app
from neumeta_trainer.cli_options import (
    Assignments,
    Compressions,
    DataFolder,
    Device,
    Final,
    OutFolder,
    RecipeName,
    Records,
    Tier,
    out_console,
)
from neumeta_trainer.cli_options import chosen_recipe as _recipe
from neumeta_trainer.cli_options import expected_errors as _errors
from neumeta_trainer.cli_options import load_splits as _load
from neumeta_trainer.cli_options import progress_of as _progress
from neumeta_trainer.cli_options import typed_command as _command
from neumeta_trainer.cli_report import report
from neumeta_trainer.compute import Compute
from neumeta_trainer.export.manifold import FILE_NAME
from neumeta_trainer.files import write_whole
from neumeta_trainer.pipeline import run
from neumeta_trainer.results.card import publish as publish_run
from neumeta_trainer.results.record import ALONE, write_record
from neumeta_trainer.results.recording import records_of
from neumeta_trainer.results.report import file_facts, write_report

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Train weight manifolds and look into their files.")
app.command()(report)
app.add_typer(analyse_app, name="analyse")


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
