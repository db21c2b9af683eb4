"""Networks of one size, trained alone: what a manifold has to hold against."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from neumeta_core.configuration import uniform
from neumeta_core.cost import Cost, cost_of
from neumeta_core.errors import InvalidField
from torch import nn

from neumeta_trainer.checks import refuse_impossible
from neumeta_trainer.compute import Compute
from neumeta_trainer.config import NetworkStage, Recipe, each_once
from neumeta_trainer.data import Splits
from neumeta_trainer.data.stages import batches_for, divided
from neumeta_trainer.errors import RecipeRefused
from neumeta_trainer.fingerprint import NETWORK_FIELDS, fingerprint
from neumeta_trainer.machine import machine
from neumeta_trainer.results.evaluate import accuracy
from neumeta_trainer.results.record import DISTILLED, EQUAL_MACS, Measurement, RunRecord
from neumeta_trainer.structure.fusion import fuse_batch_norm
from neumeta_trainer.structure.morphing import find_groups
from neumeta_trainer.structure.resize import resized
from neumeta_trainer.training.effort import matching_macs
from neumeta_trainer.training.family import train_network
from neumeta_trainer.training.loop import Workspace
from neumeta_trainer.training.progress import Progress
from neumeta_trainer.training.sampler import Sampler


@dataclass(frozen=True)
class Alone:
    """A network of one size with its normalization, trained."""

    network: nn.Module
    cost: Cost
    """Without its normalization, which is fused for delivery: as for a manifold's member of these widths."""
    stage: NetworkStage
    """How it was trained."""
    seconds: float
    """Wall time of training."""


def train_alone(
    recipe: Recipe,
    compressions: Sequence[float],
    splits: Splits,
    out: Path,
    progress: Progress,
    *,
    command: str,
    variant: str = "",
    distilled: bool = False,
    equal_macs: bool = False,
    final: bool = False,
    compute: Compute | None = None,
) -> RunRecord:
    """Train networks with the widths of members, each from its own initialization, and measure them.

    They see as many batches as the manifold's network stages together, with the family's recipe; with ``equal_macs`` each one
    trains for as many multiply-adds as the whole manifold. With ``distilled`` they learn the soft output of the full network
    that was trained alone, as the members of a family learn that of their full network. ``final`` means the same as in
    ``pipeline.run``; ``command`` is what the record says about its origin, ``variant`` in which settings the recipe departs from that
    of its name, or a label for them. Raises RecipeRefused, and InvalidField for a compression that no member has, before any of them is trained.
    """
    _refuse_sizes(recipe, compressions)
    compute = compute or Compute()
    teacher = trained_alone(recipe, 0.0, splits, out, progress, final=final, compute=compute).network if distilled else None
    networks = [
        trained_alone(recipe, compression, splits, out, progress, teacher=teacher, equal_macs=equal_macs, final=final, compute=compute)
        for compression in compressions
    ]
    splits = splits.to(compute)
    _, data, split = divided(recipe, splits, final=final)
    return RunRecord(
        recipe=recipe.study or recipe.name,
        tier=recipe.tier,
        method=" ".join(filter(None, ["alone", DISTILLED * distilled, _equal_macs_of(recipe) * equal_macs, variant])),
        seed=recipe.seed,
        split=split,
        samples=len(data),
        measurements=tuple(
            Measurement(compression=compression, params=alone.cost.params, macs=alone.cost.macs, quality=accuracy(alone.network, data, splits))
            for compression, alone in zip(compressions, networks, strict=True)
        ),
        training={f"{compression:g}": alone.stage.optimization.steps for compression, alone in zip(compressions, networks, strict=True)},
        trained_macs=sum(alone.stage.optimization.steps * alone.stage.batch * alone.cost.macs for alone in networks),
        seconds=round(sum(alone.seconds for alone in networks), 1),
        machine=machine(compute.device),
        command=command,
    )


def _equal_macs_of(recipe: Recipe) -> str:
    """Recipes of one study take different amounts, so each has a record of its own."""
    return f"{EQUAL_MACS} of {recipe.beside}" if recipe.beside else EQUAL_MACS


def _refuse_sizes(recipe: Recipe, compressions: Sequence[float]) -> None:
    refuse_impossible(recipe)
    for compression in compressions:
        if not 0 <= compression <= recipe.max_compression:
            raise InvalidField("compression", compression, f"a number from 0 to {recipe.max_compression:g}")
    try:
        each_once(tuple(compressions))
    except ValueError as error:
        raise RecipeRefused(f"compressions: {error}.") from None


def trained_alone(
    recipe: Recipe,
    compression: float,
    splits: Splits,
    out: Path,
    progress: Progress,
    *,
    teacher: nn.Module | None = None,
    equal_macs: bool = False,
    final: bool = False,
    compute: Compute | None = None,
) -> Alone:
    """One network, trained, or read from the checkpoint of an earlier call; it learns from ``teacher`` when there is one."""
    compute = compute or Compute()
    splits = splits.to(compute)
    train, _, _ = divided(recipe, splits, final=final)
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        full = recipe.network()
        example = splits.prepare(train.images[:2]).cpu()
        architecture = find_groups(recipe, full, example).architecture
        configuration = uniform(architecture, compression)
        network = resized(full, architecture, configuration, None)
        reset(network)
    compute.place(network)
    fused = find_groups(recipe, fuse_batch_norm(full, example), example).architecture
    cost, stage = cost_of(fused, configuration), whole_stage(recipe)
    if equal_macs:
        stage = _spending(stage, cost.macs, matching_macs(recipe, Sampler.of(recipe, fused)))
    name = f"alone-{compression:g}" + ("-distilled" if teacher is not None else "") + ("-equal-macs" if equal_macs else "")
    # As many multiply-adds as the manifold depend on the members that its INR leaves out, and on the targets.
    fields = (*NETWORK_FIELDS, "tune", *(["inr", "fit"] if equal_macs else []))
    workspace = Workspace(out / "checkpoints", fingerprint(recipe, network, train, splits, fields), progress, compute)
    train_network(name, network, batches_for(stage, train, splits, recipe.seed, compute), stage, workspace, teacher)
    return Alone(network, cost, stage, workspace.seconds[name])


def whole_stage(recipe: Recipe) -> NetworkStage:
    """The family's stage, longer by the steps of the base network before it and of end-to-end training after it."""
    stages = [stage for stage in (recipe.base, recipe.family) if stage is not None]
    if not stages:
        raise RecipeRefused(f"{recipe.name} trains no network, so there is nothing to train alone: it has neither base nor family.")
    steps = sum(stage.optimization.steps for stage in stages) + (recipe.tune.optimization.steps if recipe.tune else 0)
    return _lasting(stages[-1], steps)


def _spending(stage: NetworkStage, macs: int, total: int) -> NetworkStage:
    """As many steps of a network with ``macs`` multiply-adds as spend ``total``."""
    return _lasting(stage, math.ceil(total / (stage.batch * macs)))


def _lasting(stage: NetworkStage, steps: int) -> NetworkStage:
    return dataclasses.replace(stage, optimization=dataclasses.replace(stage.optimization, steps=steps))


def reset(network: nn.Module) -> None:
    """Initialize a network at its present size: its layers by default, then as it says itself, outer modules last."""
    for module in reversed(list(network.modules())):
        if callable(method := getattr(module, "reset_parameters", None)):
            method()
