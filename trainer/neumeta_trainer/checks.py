"""What speaks against a recipe, before anything of it is trained."""

from __future__ import annotations

from typing import Any, get_type_hints

import torch
from neumeta_core.architecture import Architecture
from neumeta_core.configuration import uniform
from neumeta_core.errors import InvalidField
from neumeta_core.inr import AnchoredSettings
from neumeta_core.inr.anchored import exact_members
from neumeta_core.levels import level_configurations
from neumeta_core.validation import complaint
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from neumeta_trainer.compute import Compute
from neumeta_trainer.config import FitStage, NetworkStage, Optimization, Recipe, TuneStage
from neumeta_trainer.data import ImageSet, Splits
from neumeta_trainer.data.stages import batches_for
from neumeta_trainer.errors import RecipeRefused
from neumeta_trainer.structure.morphing import on_cpu
from neumeta_trainer.training.manifold_training import drawn_members
from neumeta_trainer.training.sampler import Sampler


def refuse_impossible(recipe: Recipe) -> None:
    """Raises RecipeRefused that names the path of a field with a value that it cannot have: Python lets a dataclass have any."""
    if isinstance(recipe.network, nn.Module):  # which can be called, too
        raise RecipeRefused("network: it is a network; expected a function that makes one, such as lambda: network.")
    _refuse(recipe, "")


def _refuse(settings: Any, path: str) -> None:
    for name, hint in get_type_hints(type(settings), include_extras=True).items():
        value = getattr(settings, name)
        if isinstance(value, Optimization | NetworkStage | FitStage | TuneStage):
            _refuse(value, f"{path}{name}.")
            continue
        try:
            # As it is: what another type would be converted to is not what training would see.
            TypeAdapter(hint).validate_python(value, strict=True)
        except ValidationError as error:
            raise RecipeRefused(f"{path}{name}={value!r}: {complaint(error)}") from None


def refuse_warm_start(recipe: Recipe) -> None:
    """RecipeRefused for a warm start of row scales that has nothing to learn from, or settings of one that there is not."""
    has_scales = isinstance(recipe.inr, AnchoredSettings) and recipe.inr.scales > 0
    if has_scales and recipe.fit.optimization.steps and not recipe.fit.targets:
        raise RecipeRefused("fit.targets: row scales learn from random members of the family; expected at least 1, or fit.optimization.steps=0.")
    if recipe.fit.target_calibration is not None and not has_scales:
        raise RecipeRefused("fit.target_calibration: only row scales take it; expected inr.scales above 0, or no target_calibration.")


def refuse_batches(recipe: Recipe, train: ImageSet, splits: Splits, compute: Compute) -> None:
    """RecipeRefused for a batch, of whichever stage, that the processes that train together cannot share."""
    for name, stage in (("base", recipe.base), ("family", recipe.family), ("tune", recipe.tune)):
        if stage is not None:
            try:
                batches_for(stage, train, splits, recipe.seed, compute)
            except RecipeRefused as error:
                raise RecipeRefused(f"{name}.{error}") from None


def refuse_frozen(recipe: Recipe, network: nn.Module) -> None:
    """RecipeRefused for a network without a parameter that its stages could train."""
    trains = recipe.base is not None or (recipe.family is not None and not recipe.family.levels)
    if trains and not any(parameter.requires_grad for parameter in network.parameters()):
        raise RecipeRefused("network: no parameter of it requires a gradient; expected base=None and family=None, or network.requires_grad_(True).")


def refuse_unused(recipe: Recipe, network: nn.Module, example: Tensor, compute: Compute) -> None:
    """RecipeRefused for a parameter that the forward pass does not use where several processes train.

    They wait for the gradient of every parameter. To look for those without one in each step would cost all networks time.
    """
    if compute.processes.count == 1 or not (recipe.base or recipe.family):
        return
    twin = on_cpu(network).eval()
    trained = {name: parameter for name, parameter in twin.named_parameters() if parameter.requires_grad}
    gradients = torch.autograd.grad(twin(example.cpu()).sum(), list(trained.values()), allow_unused=True)
    if unused := [name for name, gradient in zip(trained, gradients, strict=True) if gradient is None]:
        raise RecipeRefused(f"network: its output does not depend on {', '.join(unused)}; remove that, or train it in one process.")


def refuse_classes(splits: Splits, logits: Tensor, *parts: ImageSet) -> None:
    """RecipeRefused unless the network's outputs ``[n, classes]``, the names of the data and the labels of these parts of it agree."""
    names = len(splits.labels)
    if logits.shape[1:] != (names,):
        given = " x ".join(map(str, logits.shape[1:]))
        raise RecipeRefused(f"network: it gives {given} numbers for an image, and {splits.name} has the names of {names} classes; expected as many.")
    for part in parts:
        low, high = int(part.labels.min()), int(part.labels.max())
        if low < 0 or high >= names:
            raise RecipeRefused(f"labels: those of {splits.name} go from {low} to {high}; expected 0 to {names - 1}, for it names {names} classes.")


def refuse_what_comes_later(recipe: Recipe, sampler: Sampler) -> None:
    """RecipeRefused for sizes that the INR's training or the curve would ask for in vain, hours later."""
    sampler.refuse_held_out(level_configurations(sampler.architecture, recipe.inr.levels) if isinstance(recipe.inr, AnchoredSettings) else ())
    if recipe.tune is not None:
        drawn_members(sampler, recipe.tune, 0, exact_members(sampler.architecture, recipe.inr))
    refuse_curve(recipe, sampler.architecture)
    smallest = round(1 - recipe.max_compression, 9)
    for ratio in recipe.beyond:
        if smallest <= ratio <= 1:
            raise RecipeRefused(f"beyond: {ratio:g} lies in the trained range; expected a width ratio above 1 or below {smallest:g}.")


def refuse_curve(recipe: Recipe, architecture: Architecture) -> None:
    """RecipeRefused for a compression at which no member can be measured."""
    for compression in recipe.curve:
        try:
            uniform(architecture, compression)
        except InvalidField as error:
            raise RecipeRefused(f"curve: {error}") from None
