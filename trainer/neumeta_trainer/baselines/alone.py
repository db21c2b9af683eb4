"""Networks of one size, trained alone: what a manifold has to hold against."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from neumeta_core.configuration import uniform
from torch import nn

from neumeta_trainer.config import NetworkStage, Recipe
from neumeta_trainer.data import Batches, Splits
from neumeta_trainer.errors import RecipeRefused
from neumeta_trainer.pipeline import NETWORK_FIELDS, analyse, fingerprint
from neumeta_trainer.results.evaluate import accuracy
from neumeta_trainer.structure.resize import resized
from neumeta_trainer.training.family import train_network
from neumeta_trainer.training.loop import Workspace
from neumeta_trainer.training.progress import Progress


def train_alone(recipe: Recipe, compression: float, splits: Splits, out: Path, progress: Progress, *, final: bool = False) -> float:
    """Accuracy of a network with the widths of a member, trained from its own initialization.

    It sees as many batches as the manifold's network stages together, with the family's recipe. ``final`` means the same as
    in ``pipeline.run``.
    """
    train, measured = (splits.train, splits.test) if final else splits.validation(len(splits.train) // 12)
    stage = _stage(recipe)
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        full = recipe.network()
        architecture = analyse(recipe, full, splits.prepare(train.images[:2])).architecture
        network = resized(full, architecture, uniform(architecture, compression), None)
        reset(network)
    name = f"alone-{compression:.2f}"
    workspace = Workspace(out / "checkpoints", fingerprint(recipe, network, train, (*NETWORK_FIELDS, "tune")), progress)
    train_network(name, network, Batches(train, splits, stage.batch, seed=recipe.seed, shift=stage.shift), stage, workspace)
    return accuracy(network, measured, splits)


def _stage(recipe: Recipe) -> NetworkStage:
    """The family's stage, longer by the steps of the base network before it and of end-to-end training after it."""
    stages: list[NetworkStage] = [stage for stage in (recipe.base, recipe.family) if stage is not None]
    steps = sum(stage.optimization.steps for stage in stages) + (recipe.tune.optimization.steps if recipe.tune else 0)
    if not stages:
        raise RecipeRefused(f"{recipe.name} trains no network, so there is nothing to train alone: it has neither base nor family.")
    last = stages[-1]
    return dataclasses.replace(last, optimization=dataclasses.replace(last.optimization, steps=steps))


def reset(network: nn.Module) -> None:
    """Give every layer its default initialization at its present size."""
    for module in network.modules():
        if callable(method := getattr(module, "reset_parameters", None)):
            method()
