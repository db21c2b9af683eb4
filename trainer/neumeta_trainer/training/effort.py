"""What training costs, in multiply-adds, by arithmetic on the configurations that it draws."""

from __future__ import annotations

from collections.abc import Iterable

from neumeta_core.configuration import Configuration
from neumeta_core.cost import cost_of

from neumeta_trainer.config import NetworkStage, Recipe, TuneStage
from neumeta_trainer.training.sampler import Sampler


def manifold_macs(recipe: Recipe, sampler: Sampler) -> int:
    """Of all stages of a manifold that see data; ``sampler`` draws as training did."""
    networks = [stage for stage in (recipe.base, recipe.family) if stage is not None]
    return sum(network_macs(stage, sampler) for stage in networks) + (tune_macs(recipe.tune, sampler) if recipe.tune else 0)


def network_macs(stage: NetworkStage, sampler: Sampler) -> int:
    """Forward multiply-adds of a network stage: of the full network, or of all members that the family's steps draw."""
    steps = range(stage.optimization.steps)
    if stage.members == 0:
        return len(steps) * stage.batch * _macs(sampler, [sampler.full])
    return stage.batch * sum(_macs(sampler, sampler.sandwich(step, stage.members)) for step in steps)


def tune_macs(stage: TuneStage, sampler: Sampler) -> int:
    """Forward multiply-adds of end-to-end training through the members; those of teacher and INR are not counted."""
    draw = sampler.sandwich if stage.sandwich else sampler.draw
    return stage.batch * sum(_macs(sampler, draw(step, stage.members)) for step in range(stage.optimization.steps))


def _macs(sampler: Sampler, configurations: Iterable[Configuration]) -> int:
    return sum(cost_of(sampler.architecture, configuration, 0).macs for configuration in configurations)
