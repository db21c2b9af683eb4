"""Networks of one size, trained alone: what a manifold has to hold against."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from neumeta_core.configuration import uniform
from torch import nn

from neumeta_trainer.compute import Compute
from neumeta_trainer.config import NetworkStage, Recipe
from neumeta_trainer.data import Splits
from neumeta_trainer.errors import RecipeRefused
from neumeta_trainer.pipeline import NETWORK_FIELDS, analyse, batches_for, divided, fingerprint
from neumeta_trainer.results.evaluate import accuracy
from neumeta_trainer.structure.resize import resized
from neumeta_trainer.training.family import train_network
from neumeta_trainer.training.loop import Workspace
from neumeta_trainer.training.progress import Progress


def train_alone(
    recipe: Recipe,
    compression: float,
    splits: Splits,
    out: Path,
    progress: Progress,
    *,
    distilled: bool = False,
    final: bool = False,
    compute: Compute | None = None,
) -> float:
    """Accuracy of a network with the widths of a member, trained from its own initialization.

    It sees as many batches as the manifold's network stages together, with the family's recipe. With ``distilled`` it learns
    the soft output of the full network that was trained alone, as the members of a family learn that of their full network.
    ``final`` means the same as in ``pipeline.run``.
    """
    teacher = trained_alone(recipe, 0.0, splits, out, progress, final=final, compute=compute) if distilled else None
    network = trained_alone(recipe, compression, splits, out, progress, teacher=teacher, final=final, compute=compute)
    splits = splits.to(compute or Compute())
    return accuracy(network, divided(recipe, splits, final=final)[1], splits)


def trained_alone(
    recipe: Recipe,
    compression: float,
    splits: Splits,
    out: Path,
    progress: Progress,
    *,
    teacher: nn.Module | None = None,
    final: bool = False,
    compute: Compute | None = None,
) -> nn.Module:
    """The network itself, trained, or read from the checkpoint of an earlier call; it learns from ``teacher`` when there is one."""
    compute = compute or Compute()
    splits = splits.to(compute)
    train, _, _ = divided(recipe, splits, final=final)
    stage = whole_stage(recipe)
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        full = recipe.network()
        architecture = analyse(recipe, full, splits.prepare(train.images[:2])).architecture
        network = resized(full, architecture, uniform(architecture, compression), None)
        reset(network)
    compute.place(network)
    name = alone_name(compression, distilled=teacher is not None)
    workspace = Workspace(out / "checkpoints", fingerprint(recipe, network, train, (*NETWORK_FIELDS, "tune")), progress, compute)
    train_network(name, network, batches_for(stage, train, splits, recipe.seed, compute), stage, workspace, teacher)
    return network


def alone_name(compression: float, *, distilled: bool) -> str:
    """Of the files that belong to one network."""
    return f"alone-{compression:g}" + ("-distilled" if distilled else "")


def whole_stage(recipe: Recipe) -> NetworkStage:
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
