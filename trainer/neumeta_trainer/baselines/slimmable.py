"""One network for several widths whose slices are used as they are, without an INR.

Both kinds train all the steps that a manifold's network stages and its end-to-end stage have together. Statistics of
normalization are calibrated for every width; scale and shift are shared by all widths, where the first paper has one pair
for each of its widths: only so are there networks between them.
"""

from __future__ import annotations

from neumeta_core.architecture import Architecture
from neumeta_core.configuration import Configuration, uniform
from torch import Tensor, nn
from torch.nn import functional

from neumeta_trainer.config import NetworkStage, Recipe
from neumeta_trainer.data import Batches
from neumeta_trainer.training.loop import Workspace, optimize
from neumeta_trainer.training.sampler import Sampler
from neumeta_trainer.training.slices import Slices

RATIOS = (1.0, 0.75, 0.5, 0.25)
"""Widths of slimmable networks (ICLR 2019)."""


def switches(architecture: Architecture) -> list[Configuration]:
    """The members at the ratios of slimmable networks, as far as the trained range goes."""
    return [uniform(architecture, 1 - ratio) for ratio in RATIOS if 1 - ratio <= architecture.max_compression]


def train_slimmable(network: nn.Module, architecture: Architecture, batches: Batches, stage: NetworkStage, workspace: Workspace) -> None:
    """Train a network at a fixed list of widths in place: all of them in every step, each on the labels."""
    configurations, slices = switches(architecture), Slices(network, architecture)

    def loss(step: int) -> Tensor:
        inputs, labels = batches.at(step)
        with workspace.compute.autocast():
            logits = [slices(configuration, inputs) for configuration in configurations]
            return sum((functional.cross_entropy(values, labels) for values in logits[1:]), functional.cross_entropy(logits[0], labels))

    network.train()
    optimize("slimmable", network, loss, stage.optimization, workspace)
    network.eval()


def universal_sampler(recipe: Recipe, architecture: Architecture) -> Sampler:
    """What universally slimmable networks (ICCV 2019) draw: one ratio for all groups, outside of what the recipe holds out."""
    return Sampler(architecture, recipe.held_out, uniform_share=1.0, seed=recipe.seed)
