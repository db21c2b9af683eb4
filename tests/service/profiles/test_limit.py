"""The largest member within a latency, against a search through all of them."""

from __future__ import annotations

from typing import Any

import pytest
from neumeta_core.budget import Budget, uniform_members
from neumeta_core.configuration import effective_compression
from neumeta_core.errors import BudgetImpossible, InvalidField
from neumeta_core.manifold import Manifold
from neumeta_service.profiles import LatencyCurve, LatencyLimit, solve_within

CURVE = LatencyCurve.fit([(0.2, 8.0), (0.5, 3.0), (0.6, 2.0)])


@pytest.mark.parametrize("limit_ms", [2.0, 2.01, 2.5, 3.0, 4.0, 7.9, 8.0, 1e9])
@pytest.mark.parametrize("budget", [None, Budget(params=700), Budget(macs=10**9, bytes=5000)])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_it_is_the_largest_that_fits(manifold: Manifold, limit_ms: float, budget: Budget | None, precision: str) -> None:
    limits = {} if budget is None else budget.limits()
    fitting = [
        member
        for member in uniform_members(manifold.architecture)
        if CURVE.at(effective_compression(manifold.architecture, member)) <= limit_ms
        and all(manifold.cost(member, precision).as_dict()[name] <= limit for name, limit in limits.items())
    ]
    assert solve_within(manifold, limit_ms, CURVE, budget=budget, precision=precision) == fitting[-1]


def test_a_measured_latency_gives_the_member_that_was_measured(manifold: Manifold) -> None:
    for compression in (0.2, 0.37, 0.75):
        member = manifold.configure(compression)
        curve = LatencyCurve.fit([(effective_compression(manifold.architecture, member), 3.1), (0.9, 0.1)])
        assert solve_within(manifold, 3.1, curve, precision="fp32") == member


def test_a_limit_under_the_lowest_latency_states_it_beside_the_costs(manifold: Manifold) -> None:
    smallest = manifold.cost(manifold.configure(0.75)).as_dict()
    with pytest.raises(BudgetImpossible) as impossible:
        solve_within(manifold, 1.99, CURVE, budget=Budget(params=10**9), precision="fp32")
    assert impossible.value.exceeded == {"latency_ms": 1.99}
    assert impossible.value.smallest == smallest | {"latency_ms": 2.0}
    assert "no member of the family has latency_ms <= 1.99" in str(impossible.value)
    with pytest.raises(BudgetImpossible) as impossible:
        solve_within(manifold, 5.0, CURVE, budget=Budget(params=1), precision="fp32")
    assert impossible.value.exceeded == {"params": 1}


@pytest.mark.parametrize("ms", [0, -1, True, "4", float("nan"), float("inf"), [4]])
def test_a_limit_is_a_positive_number(ms: Any) -> None:
    with pytest.raises(InvalidField) as refused:
        LatencyLimit(ms, "pi4").check()
    assert (refused.value.field, refused.value.expected) == ("budget.latency_ms", "a positive number")
