"""What training costs, in multiply-adds, by arithmetic on the configurations that it draws."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from neumeta_core.architecture import Architecture
from neumeta_core.configuration import Configuration
from neumeta_core.cost import cost_of
from neumeta_core.inr.anchored import exact_members

from neumeta_trainer.config import NetworkStage, Recipe, TuneStage
from neumeta_trainer.training.manifold_training import drawn_members
from neumeta_trainer.training.sampler import Sampler


def manifold_macs(recipe: Recipe, sampler: Sampler) -> int:
    """Of all stages of a manifold that see data; ``sampler`` draws as training did."""
    total = networks_macs(recipe, sampler)
    if recipe.tune is not None:
        total += tune_macs(recipe.tune, sampler, exact_members(sampler.architecture, recipe.inr))
    return total


def matching_macs(recipe: Recipe, sampler: Sampler) -> int:
    """What a network that learns from labels alone may spend, forward, to have cost as much as the manifold.

    That is ``manifold_macs`` and a third of the passes without a way back (which costs two more): those of the teacher of end-to-end training, and
    those that calibrate random members of the family as targets.
    """
    architecture, fit, tune = sampler.architecture, recipe.fit, recipe.tune
    full = cost_of(architecture, sampler.full).macs
    taught = tune.optimization.steps * tune.batch * full if tune is not None and tune.distillation else 0
    members = sampler.sandwich(0, fit.targets) if fit.targets else []
    calibrated = (fit.target_calibration or fit.calibration) * sum(cost_of(architecture, member).macs for member in members)
    return manifold_macs(recipe, sampler) + (taught + calibrated) // 3


def networks_macs(recipe: Recipe, sampler: Sampler) -> int:
    """Forward multiply-adds of the stages before the INR: of the base, which is one network, and of all members that the family's steps draw."""
    base, family, architecture = recipe.base, recipe.family, sampler.architecture
    total = forward_macs(architecture, lambda _: [sampler.full], base) if base is not None else 0
    if family is not None:
        total += forward_macs(architecture, lambda step: sampler.sandwich(step, family.members, even=family.even), family)
    return total


def tune_macs(stage: TuneStage, sampler: Sampler, exact: Sequence[Configuration]) -> int:
    """Forward multiply-adds of end-to-end training through whole members, though what they have in common ran once; without teacher and INR."""
    return forward_macs(sampler.architecture, lambda step: drawn_members(sampler, stage, step, exact), stage)


def forward_macs(architecture: Architecture, members: Callable[[int], Iterable[Configuration]], stage: NetworkStage | TuneStage) -> int:
    """Multiply-adds of all forward passes of a stage that runs ``members(step)`` in every step."""
    counts = Counter(member for step in range(stage.optimization.steps) for member in members(step))
    return stage.batch * sum(count * cost_of(architecture, member).macs for member, count in counts.items())
