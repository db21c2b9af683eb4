"""``neumeta baselines``: pruned, resampled and slimmable networks."""

from __future__ import annotations

from typing import Annotated

import typer

from neumeta_trainer.baselines.comparison import METHODS, baseline_records
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
from neumeta_trainer.overrides import variant_of
from neumeta_trainer.results.record import RunRecord


def baselines(
    recipe: RecipeName,
    out: OutFolder,
    methods: Annotated[list[str] | None, typer.Option("--method", help=f"Repeatable; all when left out: {', '.join(METHODS)}.")] = None,
    data: DataFolder = None,
    tier: Tier = None,
    assignments: Assignments = None,
    label: Label = None,
    device: Device = "auto",
    records: Records = None,
    final: Final = False,
) -> None:
    """Measure pruned, resampled and slimmable networks at the sizes of a manifold's members.

    The full network is trained alone first, unless `neumeta alone RECIPE 0` left its checkpoint in the same folder.
    """
    if unknown := set(methods or ()) - set(METHODS):
        raise typer.BadParameter(f"{sorted(unknown)[0]!r} is not known; choose some of {', '.join(METHODS)}.", param_hint="--method")
    with expected_errors(out), Compute.resolve(device) as compute:
        chosen, command = chosen_recipe(recipe, tier, assignments), typed_command("--method")
        splits = load_splits(chosen, data)
        progress, variant = progress_of(compute), variant_of(assignments or (), label)
        for record in baseline_records(chosen, splits, out, progress, methods, final=final, compute=compute, command=command, variant=variant):
            if compute.processes.is_first:
                record_into(records, record)
                say(_row(record))


def _row(record: RunRecord) -> str:
    points = (f"{'' if point.compression is None else f'{point.compression:.2f}: '}{100 * point.quality:.2f} %" for point in record.measurements)
    return f"{record.method:<30}{'  '.join(points)}"
