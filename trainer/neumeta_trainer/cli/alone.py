"""``neumeta alone``: networks of one size."""

from __future__ import annotations

from typing import Annotated

import typer
from neumeta_core.files import write_whole

from neumeta_trainer.baselines.alone import train_alone
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
from neumeta_trainer.results.record import ALONE


def alone(
    recipe: RecipeName,
    compressions: Annotated[list[float], typer.Argument(help="Of the members whose widths the networks get.")],
    out: OutFolder,
    data: DataFolder = None,
    tier: Tier = None,
    assignments: Assignments = None,
    label: Label = None,
    device: Device = "auto",
    distilled: Annotated[bool, typer.Option("--distilled", help="Learn from the full network trained alone, which comes first.")] = False,
    equal_macs: Annotated[bool, typer.Option("--equal-macs", help="Train each for the multiply-adds of the whole manifold, not its steps.")] = False,
    records: Records = None,
    final: Final = False,
) -> None:
    """Train networks of one size alone, with the recipe of the manifold: what the manifold is compared with."""
    with expected_errors(out), Compute.resolve(device) as compute:
        chosen = chosen_recipe(recipe, tier, assignments)
        record = train_alone(
            chosen,
            compressions,
            load_splits(chosen, data),
            out,
            progress_of(compute),
            command=typed_command(),
            variant=variant_of(assignments or (), label),
            distilled=distilled,
            equal_macs=equal_macs,
            final=final,
            compute=compute,
        )
        if not compute.processes.is_first:
            return
        if not distilled and not equal_macs:
            write_whole(out / ALONE, record.model_dump_json(indent=1) + "\n")
        record_into(records, record)
        for point in record.measurements:
            say(f"compression {point.compression:g}, trained {record.method}: {100 * point.quality:.2f} %")
