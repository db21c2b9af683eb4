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
    Label,
    OutFolder,
    RecipeName,
    Records,
    Tier,
    chosen_recipe,
    expected_errors,
    load_splits,
    progress_of,
    record_into,
    say,
    typed_command,
)
from neumeta_trainer.compute import Compute
from neumeta_trainer.config import Recipe
from neumeta_trainer.errors import RunNotFinished
from neumeta_trainer.export.manifold import FILE_NAME
from neumeta_trainer.overrides import variant_of
from neumeta_trainer.pipeline import run
from neumeta_trainer.results.recording import records_of
from neumeta_trainer.results.report import write_report
from neumeta_trainer.training.checkpoint import steps_done


def train(
    recipe: RecipeName,
    out: OutFolder,
    data: DataFolder = None,
    tier: Tier = None,
    assignments: Assignments = None,
    label: Label = None,
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
        if networks is not None:
            _refuse_untrained(networks, chosen)
        result = run(chosen, load_splits(chosen, data), out, progress_of(compute), final=final, compute=compute, networks=networks)
        if not compute.processes.is_first:
            return
        write_report(result, out)
        for record in records_of(chosen, result, typed_command(), variant_of(assignments or (), label)):
            record_into(records, record)
        show(result.manifold)
        say(f"Wrote {out / FILE_NAME}, report.json and curve.png.")


def _refuse_untrained(networks: Path, recipe: Recipe) -> None:
    """Without this a mistyped folder would be made, or another run go on in its own folder, and hours of training be kept there."""
    for name, stage in (("base", recipe.base), ("family", recipe.family)):
        if stage is not None and (missing := _missing(networks / "checkpoints" / f"{name}.pt", stage.optimization.steps)):
            raise RunNotFinished(f"--networks: {missing}; expected the --out folder of a run of this recipe that has trained its {name}.")


def _missing(path: Path, steps: int) -> str:
    """What a checkpoint lacks, or nothing."""
    if not path.is_file():
        return f"{path} is not there"
    done = steps_done(path)
    return f"{path} has {done} of {steps} steps" if done < steps else ""
