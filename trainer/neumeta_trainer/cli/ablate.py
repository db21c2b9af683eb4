"""``neumeta ablate``: a recipe with one field changed at a time."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from neumeta_trainer.ablation import AS_IT_IS, changes_of, variations
from neumeta_trainer.ablation import ablate as run_ablation
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
    progress_of,
    record_into,
    say,
    typed_command,
)
from neumeta_trainer.compute import Compute
from neumeta_trainer.overrides import variant_of


def ablate(
    recipe: RecipeName,
    out: OutFolder,
    vary: Annotated[list[str], typer.Option("--vary", metavar="FIELD=VALUE,VALUE", help="One run for every value; A=1+B=2 changes two. Repeatable.")],
    data: DataFolder = None,
    tier: Tier = None,
    assignments: Assignments = None,
    device: Device = "auto",
    records: Records = None,
    final: Final = False,
) -> None:
    """Train a recipe as it is and with one change at a time. Base and family that a change leaves alone are trained once.

    Example: neumeta ablate digits-paper --vary order=none --vary sampling.count=1,8 --out runs/ablation
    """
    with expected_errors(out), Compute.resolve(device) as compute:
        chosen = chosen_recipe(recipe, tier, assignments)
        typed = typed_command("--vary").replace("neumeta ablate", "neumeta train", 1)
        sets = {name: "".join(f" --set {shlex.quote(change)}" for change in changes_of(name)) for name in variations(vary)}
        commands = {name: typed + words for name, words in {AS_IT_IS: "", **sets}.items()}
        splits = load_splits(chosen, data)
        progress, variant = progress_of(compute), variant_of(assignments or ())
        for record in run_ablation(chosen, vary, splits, out, progress, commands=commands, variant=variant, final=final, compute=compute):
            if compute.processes.is_first:
                record_into(records, record)
                qualities = (f"{point.compression:g}: {100 * point.quality:.2f} %" for point in record.measurements if point.compression is not None)
                say(f"{record.method}\n  {'  '.join(qualities)}")
