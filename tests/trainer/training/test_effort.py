"""Multiply-adds of end-to-end training."""

from __future__ import annotations

import dataclasses

import pytest
from neumeta_core.configuration import Configuration
from neumeta_core.cost import cost_of
from neumeta_core.inr import AnchoredSettings
from neumeta_trainer.config import FitStage, NetworkStage, Optimization, TuneStage
from neumeta_trainer.recipes.digits import digits
from neumeta_trainer.training.effort import manifold_macs, matching_macs, networks_macs
from neumeta_trainer.training.sampler import Sampler

from tests.tiny import tiny_architecture

LEVELS = (0.75, 0.25)
STAGE = TuneStage(optimization=Optimization(steps=3, rate=0.1), batch=10, members=2)


def test_a_family_runs_its_sandwich_without_random_members_too_and_a_base_one_network() -> None:
    sampler = Sampler(tiny_architecture(), levels=LEVELS)
    stage = NetworkStage(optimization=Optimization(steps=3, rate=0.1), batch=10)
    costs = {member: cost_of(sampler.architecture, member).macs for member in sampler.always}
    assert networks_macs(dataclasses.replace(digits(), base=None, family=stage), sampler) == 3 * 10 * sum(costs.values())
    assert networks_macs(dataclasses.replace(digits(), base=stage, family=None), sampler) == 3 * 10 * costs[sampler.full]


@pytest.mark.parametrize("even", [False, True])
def test_a_family_runs_the_random_members_that_its_training_draws(even: bool) -> None:
    sampler = Sampler(tiny_architecture(), uniform_share=0.0)
    stage = NetworkStage(optimization=Optimization(steps=3, rate=0.1), batch=10, members=2, even=even)
    members = [member for step in range(3) for member in (*sampler.always, *sampler.draw(step, 2, even=even))]
    costs = sum(cost_of(sampler.architecture, member).macs for member in members)
    assert networks_macs(dataclasses.replace(digits(), base=None, family=stage), sampler) == 10 * costs


def test_members_that_are_exact_cost_nothing_end_to_end() -> None:
    sampler = Sampler(tiny_architecture(), levels=LEVELS)

    def macs(*, exact: bool) -> int:
        inr = AnchoredSettings(hidden=8, levels=LEVELS, exact=exact)
        return manifold_macs(dataclasses.replace(digits(), base=None, family=None, inr=inr, tune=STAGE), sampler)

    def forward(members: list[Configuration]) -> int:
        return 10 * sum(cost_of(sampler.architecture, member).macs for member in members)

    drawn = sum(forward(sampler.draw(step, 2)) for step in range(3))
    assert macs(exact=True) == drawn
    assert macs(exact=False) == drawn + 3 * forward(sampler.always)


def test_what_a_network_alone_may_spend_counts_passes_without_a_way_back_as_a_third() -> None:
    sampler = Sampler(tiny_architecture(), levels=LEVELS)
    plain = dataclasses.replace(digits(), tune=STAGE, fit=FitStage(optimization=STAGE.optimization, targets=0))
    assert matching_macs(plain, sampler) == manifold_macs(plain, sampler)
    full = cost_of(sampler.architecture, sampler.full).macs
    taught = dataclasses.replace(plain, tune=dataclasses.replace(STAGE, distillation=0.5))
    assert matching_macs(taught, sampler) == manifold_macs(taught, sampler) + 3 * 10 * full // 3
    calibrated = dataclasses.replace(plain, fit=dataclasses.replace(plain.fit, targets=2, calibration=30))
    targets = sum(cost_of(sampler.architecture, member).macs for member in sampler.sandwich(0, 2))
    assert matching_macs(calibrated, sampler) == manifold_macs(calibrated, sampler) + 30 * targets // 3
