"""From trained parts to the manifold file."""

from __future__ import annotations

import dataclasses
import json
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from neumeta_core.architecture import Architecture
from neumeta_core.curve import Curve
from neumeta_core.header import Header, InputSpec
from neumeta_core.inr import INR, build_inr
from neumeta_core.manifold import Canary, Manifold
from neumeta_core.validation import first_fault
from pydantic import ValidationError
from torch import Tensor, nn

from neumeta_trainer.config import Recipe
from neumeta_trainer.data import ImageSet, Splits
from neumeta_trainer.errors import RecipeRefused
from neumeta_trainer.export.template import make_template

FILE_NAME = "manifold.safetensors"


def make_manifold(
    recipe: Recipe,
    splits: Splits,
    inr: INR,
    fused: nn.Module,
    architecture: Architecture,
    curve: Curve | None,
    example: Tensor,
    canaries: ImageSet,
    *,
    images: int,
) -> Manifold:
    """Make and prove the template of the fused network: the manifold, not yet written."""
    input_spec = InputSpec(shape=tuple(example.shape[1:]), scale=splits.scale, mean=splits.mean, std=splits.std)
    template, patches = make_template(fused, architecture, example, input_name=input_spec.name)
    header = Header(
        name=recipe.name,
        version=recipe.version,
        task="classification",
        labels=splits.labels,
        input=input_spec,
        architecture=architecture.model_copy(update={"patches": tuple(patches)}),
        inr=recipe.inr,
        sampling=recipe.sampling,
        curve=curve,
        training=provenance(recipe, type(fused).__qualname__, splits, images),
    )
    few = canaries.take(torch.arange(min(recipe.canaries, len(canaries))))
    return Manifold(header, inr, template, Canary(few.images, few.labels))


def rehearse(recipe: Recipe, splits: Splits, fused: nn.Module, architecture: Architecture, example: Tensor, canaries: ImageSet) -> None:
    """Write the manifold of a network that is not trained yet and read it back: what will not go into a file is refused before hours of training.

    Raises RecipeRefused for a field that no file can have, and what ``make_template`` and ``Manifold.load`` raise.
    """
    with torch.random.fork_rng(devices=[]):
        inr = build_inr(architecture, recipe.inr)
    try:
        manifold = make_manifold(recipe, splits, inr, fused, architecture, None, example, canaries, images=len(canaries))
    except ValidationError as error:
        raise RecipeRefused(first_fault(error)) from None
    with TemporaryDirectory() as folder:
        write_manifold(manifold, Path(folder))


def write_manifold(manifold: Manifold, out: Path) -> Manifold:
    """Write ``out/manifold.safetensors`` and read it back."""
    path = out / FILE_NAME
    manifold.save(path)
    return Manifold.load(path)


def settings_of(recipe: Recipe) -> dict[str, Any]:
    """A recipe as JSON values, without its network, and without what the header of a file has anyway: INR and sampling."""
    settings = dataclasses.asdict(recipe)
    left_out = ("network", "inr", "sampling")
    kept: dict[str, Any] = json.loads(json.dumps({name: value for name, value in settings.items() if value is not None and name not in left_out}))
    return kept


def provenance(recipe: Recipe, network: str, splits: Splits, images: int) -> dict[str, Any]:
    """How a manifold was made, as JSON values."""
    return {
        "data": splits.name,
        "images": images,
        "recipe": settings_of(recipe) | {"network": network},
        "held_out_ratios": [list(interval) for interval in recipe.held_out],
        "seed": recipe.seed,
        "versions": {"neumeta-server": version("neumeta-server"), "torch": torch.__version__},
    }
