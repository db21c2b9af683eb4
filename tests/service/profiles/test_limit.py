"""The largest measured member within a latency, against a search through all that was measured."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from neumeta_core.budget import Budget
from neumeta_core.errors import BudgetImpossible, InvalidField
from neumeta_core.manifold import Manifold
from neumeta_service.profiles import LatencyLimit, Profile, solve_within
from neumeta_service.profiles.profile import Point

from tests.tiny import tiny_architecture, tiny_manifold, with_curve
from tests.uniform import uniform_members

MANIFOLD = tiny_manifold()
MEMBERS = uniform_members(MANIFOLD.architecture)
LATENCIES_MS = st.integers(1, 10).map(float)
LIMITS = st.fixed_dictionaries({}, optional={"params": st.integers(50, 1500), "macs": st.integers(5000, 50_000), "bytes": st.integers(1000, 8000)})
PERCENTS = st.dictionaries(st.integers(0, 75), LATENCIES_MS, min_size=2, max_size=30)


def profile(latencies_ms: dict[float, float], *, precision: str = "fp32") -> Profile:
    points = [Point(compression=compression, latency_ms=latencies_ms[compression]) for compression in sorted(latencies_ms)]
    stated = {"version": 1, "precision": precision, "metric": "p50", "runtime": "a runtime", "threads": 4}
    return Profile.model_validate({**stated, "points": points, "groups": tiny_architecture().groups})


@given(PERCENTS, LATENCIES_MS, LIMITS, st.sampled_from(["fp32", "int8"]))
def test_it_is_the_largest_that_fits(percents: dict[int, float], limit_ms: float, limits: dict[str, int], precision: str) -> None:
    latencies = {percent / 100: latency for percent, latency in percents.items()}
    budget = Budget(**limits) if limits else None
    slowest = {member: max((ms for at, ms in latencies.items() if MANIFOLD.configure(at) == member), default=None) for member in MEMBERS}
    measured = {member: latency for member, latency in slowest.items() if latency is not None}
    costs = {member: MANIFOLD.cost(member, precision).as_dict() for member in measured}
    fitting = [m for m, ms in measured.items() if ms <= limit_ms and all(costs[m][name] <= limit for name, limit in limits.items())]
    if fitting:
        assert solve_within(MANIFOLD, profile(latencies, precision=precision), limit_ms, budget=budget) == fitting[-1]
    else:
        with pytest.raises(BudgetImpossible) as impossible:
            solve_within(MANIFOLD, profile(latencies, precision=precision), limit_ms, budget=budget)
        assert impossible.value.smallest == next(iter(costs.values())) | {"latency_ms": min(measured.values())}


def test_a_larger_member_may_be_the_faster_one(manifold: Manifold) -> None:
    measured = profile({0.25: 3.0, 0.3: 5.0, 0.5: 2.0})
    assert solve_within(manifold, measured, 4.0) == manifold.configure(0.25)
    assert solve_within(manifold, measured, 2.9) == manifold.configure(0.5)


def test_of_those_in_time_a_smaller_one_is_taken_where_the_curve_prefers_it() -> None:
    dip = with_curve({0: 0.9, 0.25: 0.7, 0.5: 0.8, 0.75: 0.75})
    measured = profile({0: 9.0, 0.25: 5.0, 0.5: 4.0, 0.75: 3.0})
    assert [solve_within(dip, measured, ms) for ms in (9.0, 8.9, 4.0, 3.9)] == [dip.configure(found) for found in (0, 0.5, 0.5, 0.75)]
    never_rated = profile({0.25: 5.0, 0.65: 4.0})
    assert dip.quality(dip.configure(0.65)).value > 0.75
    assert solve_within(dip, never_rated, 9.0) == dip.configure(0.25)
    only = Budget(params=dip.cost(dip.configure(0.25)).params)
    assert solve_within(dip, measured, 9.0, budget=only) == dip.configure(0.5)


def test_of_several_points_of_one_member_the_slowest_counts(manifold: Manifold) -> None:
    assert manifold.configure(0.5) == manifold.configure(0.51) == manifold.configure(0.52)
    measured = profile({0.5: 2.0, 0.51: 4.0, 0.52: 3.0, 0.75: 1.0})
    assert solve_within(manifold, measured, 3.9) == manifold.configure(0.75)
    assert solve_within(manifold, measured, 4.0) == manifold.configure(0.5)


def test_an_impossible_limit_states_the_lowest_that_was_measured(manifold: Manifold) -> None:
    measured = profile({0.2: 3.0, 0.3: 2.0, 0.5: 8.0})
    lowest = manifold.cost(manifold.configure(0.5)).as_dict() | {"latency_ms": 2.0}
    with pytest.raises(BudgetImpossible) as impossible:
        solve_within(manifold, measured, 1.99, budget=Budget(params=10**9))
    assert impossible.value.exceeded == {"latency_ms": 1.99}
    assert impossible.value.smallest == lowest
    assert "no measured member has latency_ms <= 1.99; the lowest are params" in str(impossible.value)
    with pytest.raises(BudgetImpossible) as impossible:
        solve_within(manifold, measured, 5.0, budget=Budget(params=1))
    assert (impossible.value.exceeded, impossible.value.smallest) == ({"params": 1}, lowest)


def test_limits_that_only_hold_one_at_a_time_are_all_stated(manifold: Manifold) -> None:
    params = manifold.cost(manifold.configure(0.5)).params
    with pytest.raises(BudgetImpossible) as impossible:
        solve_within(manifold, profile({0.2: 2.0, 0.5: 8.0}), 5.0, budget=Budget(params=params))
    assert impossible.value.exceeded == {"params": params, "latency_ms": 5.0}


@pytest.mark.parametrize("ms", [0, -1, True, "4", float("nan"), float("inf"), [4]])
def test_a_limit_is_a_positive_number(ms: Any) -> None:
    with pytest.raises(InvalidField) as refused:
        LatencyLimit(ms, "pi4").check()
    assert (refused.value.field, refused.value.expected) == ("budget.latency_ms", "a positive number")
