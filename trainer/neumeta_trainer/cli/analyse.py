"""``neumeta analyse``: what the paper looks at beside accuracy, recorded as tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from neumeta_core.manifold import Manifold

from neumeta_trainer.analyses.networks import Networks
from neumeta_trainer.analyses.similarity import CKA_NOTE, KL_NOTE, Table, compare
from neumeta_trainer.analyses.variation import NOTE, ORDERS, variations
from neumeta_trainer.cli.options import (
    Assignments,
    DataFolder,
    Device,
    Final,
    Label,
    RecipeName,
    Tier,
    chosen_recipe,
    expected_errors,
    load_splits,
    progress_of,
    say,
    typed_command,
)
from neumeta_trainer.compute import Compute
from neumeta_trainer.config import Recipe
from neumeta_trainer.data.stages import divided
from neumeta_trainer.export.manifold import FILE_NAME
from neumeta_trainer.machine import machine
from neumeta_trainer.origin import check_made_by
from neumeta_trainer.overrides import variant_of
from neumeta_trainer.results.record import MatrixRecord, write_record
from neumeta_trainer.structure.fusion import fuse_batch_norm
from neumeta_trainer.structure.morphing import find_groups

app = typer.Typer(no_args_is_help=True, help="Look at trained networks beside their accuracy, and record what is seen.")

AloneFolder = Annotated[
    Path, typer.Option("--alone", help="The --out folder of `neumeta alone`: networks whose checkpoints are there are read, others are trained.")
]
RECORDS = typer.Option("--records", help="Folder of the recorded results.")


@app.command()
def variation(
    recipe: RecipeName,
    alone: AloneFolder,
    records: Annotated[Path, RECORDS] = Path("results"),
    data: DataFolder = None,
    tier: Tier = None,
    assignments: Assignments = None,
    label: Label = None,
    device: Device = "auto",
    final: Final = False,
) -> None:
    """Total variation along the channels of the full network trained alone, in several orders."""
    with expected_errors(alone), Compute.resolve(device) as compute:
        chosen = chosen_recipe(recipe, tier, assignments)
        networks = Networks(chosen, load_splits(chosen, data), alone, compute, progress_of(compute), final)
        full = networks.alone(0.0)
        example = networks.splits.prepare(networks.splits.train.images[:2])
        fused = fuse_batch_norm(full, example.to(compute.device))
        found = variations(fused, find_groups(chosen, fused, example).architecture)
        values = tuple(tuple(found[group][order] for order in ORDERS) for group in found)
        if compute.processes.is_first:
            subject = ", ".join(filter(None, [variant_of(assignments or (), label), "of all images" * final]))
            table = {"analysis": "variation", "subject": subject, "rows": tuple(found), "columns": ORDERS, "values": values, "note": NOTE}
            _write(records, _common(chosen, compute) | table)


@app.command()
def similarity(
    recipe: RecipeName,
    run: Annotated[Path, typer.Option("--run", help="Folder of a finished `neumeta train` of the same recipe, tier and settings.")],
    alone: AloneFolder,
    records: Annotated[Path, RECORDS] = Path("results"),
    compressions: Annotated[list[float] | None, typer.Option("--compression", help="Of a network. Repeatable; 0, 0.25, 0.5, … without it.")] = None,
    images: Annotated[int, typer.Option("--images", min=2, help="How many, of the split that the manifold was measured on.")] = 1000,
    layer: Annotated[
        str | None, typer.Option("--layer", help="Path of the module whose output CKA compares, instead of what the head reads.")
    ] = None,
    data: DataFolder = None,
    tier: Tier = None,
    assignments: Assignments = None,
    label: Label = None,
    device: Device = "auto",
    final: Final = False,
) -> None:
    """Linear CKA and divergence between networks of different width: those of a manifold, trained alone, and distilled."""
    with expected_errors(alone), Compute.resolve(device) as compute:
        chosen = chosen_recipe(recipe, tier, assignments)
        networks = Networks(chosen, load_splits(chosen, data), alone, compute, progress_of(compute), final)
        sizes = compressions or [step / 4 for step in range(4) if step / 4 <= chosen.max_compression]
        manifold = Manifold.load(run / FILE_NAME)
        _, measured, split = divided(chosen, networks.splits, final=final)
        check_made_by(manifold, chosen, split)
        inputs = networks.splits.prepare(measured.images[:images])
        variant = [variant_of(assignments or (), label), layer and f"at {layer}"]
        for subject, found in networks.sets(manifold, sizes, layer).items():
            tables = compare(found, inputs, layer)
            if compute.processes.is_first:
                named = " ".join(filter(None, [subject, *variant]))
                common = _common(chosen, compute) | {"subject": named, "split": split, "samples": len(inputs)}
                _write_similarities(records, common, [name for name, _ in found], tables, layer)


def _write_similarities(records: Path, common: dict[str, Any], labels: Sequence[str], tables: dict[str, Table], layer: str | None) -> None:
    notes = {"cka": f"{CKA_NOTE} Activations: {f'the output of {layer}' if layer else 'what the head reads'}.", "kl": KL_NOTE}
    for name, table in tables.items():
        values = tuple(tuple(None if math.isnan(value) else round(value, 6) for value in row) for row in table)
        _write(records, common | {"analysis": name, "rows": tuple(labels), "columns": tuple(labels), "values": values, "note": notes[name]})


def _common(recipe: Recipe, compute: Compute) -> dict[str, Any]:
    name, computer = recipe.study or recipe.name, machine(compute.device)
    return {"kind": "matrix", "recipe": name, "tier": recipe.tier, "seed": recipe.seed, "machine": computer, "command": typed_command()}


def _write(records: Path, values: dict[str, Any]) -> None:
    say(f"Wrote {write_record(MatrixRecord.model_validate(values), records)}.")
