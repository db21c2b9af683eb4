"""What of a network morphs, by the limits of a recipe."""

from __future__ import annotations

import copy
from functools import partial

import torch
from torch import Tensor, nn

from neumeta_trainer.config import Recipe
from neumeta_trainer.errors import RecipeRefused
from neumeta_trainer.structure.channel_groups import Analysis, find_architecture


def find_groups(recipe: Recipe, network: nn.Module, example: Tensor) -> Analysis:
    """The channel groups of a network that resize, with the limits of the recipe; RecipeRefused when ``morph`` names none of them."""
    # On the CPU in the plain layout: what is found does not depend on the device, and tracing is quick.
    find = partial(
        find_architecture,
        on_cpu(network),
        example.cpu().contiguous(),
        min_ratio=1 - recipe.max_compression,
        max_compression=recipe.max_compression,
        granularity=recipe.granularity,
    )
    found: Analysis = find()
    names = [group.name for group in found.architecture.groups]
    if unknown := set(recipe.morph) - set(names):
        expected = f"expected some of {', '.join(names)}"
        raise RecipeRefused(f"morph: the network has no channel group {sorted(unknown)[0]!r} that can be resized; {expected}.")
    # A group is named after a layer; parts of one layer's channels have a number behind it.
    others = {name.partition("#")[0] for name in names if recipe.morph and name not in recipe.morph}
    return find(ignore=sorted(others)) if others else found


def on_cpu(network: nn.Module) -> nn.Module:
    """A copy in the plain layout."""
    # Stubs of nn.Module.to know no memory format together with a device.
    return copy.deepcopy(network).to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload, no-any-return]
