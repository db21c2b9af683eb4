"""``neumeta train``: the manifold of a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neumeta_trainer.cli.inspect import show
from neumeta_trainer.cli.options import (
    Assignments,
    DataFolder,
    Device,
    Final,
    OutFolder,
    RecipeName,
    Records,
    Tier,
    chosen_recipe,
    expected_errors,
    load_splits,
    out_console,
    progress_of,
    record_into,
    typed_command,
)
from neumeta_trainer.compute import Compute
from neumeta_trainer.export.manifold import FILE_NAME
from neumeta_trainer.pipeline import run
from neumeta_trainer.results.recording import records_of
from neumeta_trainer.results.report import write_report


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
    with expected_errors(out), Compute.resolve(device) as compute:
        chosen = chosen_recipe(recipe, tier, assignments)
        result = run(chosen, load_splits(chosen, data), out, progress_of(compute), final=final, compute=compute, networks=networks)
        if not compute.processes.is_first:
            return
        write_report(result, out)
        # A seed is no other method: its runs are the spread of one.
        variant = ", ".join(assignment for assignment in assignments or () if not assignment.startswith("seed="))
        for record in records_of(chosen, result, typed_command(), variant):
            record_into(records, record)
        show(result.manifold)
        out_console.print(f"Wrote {out / FILE_NAME}, report.json and curve.png.")
