from __future__ import annotations

import tracemalloc
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from neumeta_core.architecture import Architecture, ChannelGroup, GeneratedParameter, Segment
from neumeta_core.budget import Budget, solve
from neumeta_core.configuration import Configuration, uniform
from neumeta_core.cost import ArtifactCost, cost_of
from neumeta_core.curve import CurvePoint
from neumeta_core.errors import BudgetImpossible, InvalidField
from neumeta_core.manifold import Manifold

from tests import tiny
from tests.tiny import with_curve
from tests.uniform import uniform_members

NO_BUDGETS: list[Any] = [0, -1, True, 1.5, "100", float("nan")]


@st.composite
def families(draw: st.DrawFn) -> Architecture:
    groups = []
    for index in range(draw(st.integers(1, 3))):
        granularity, steps = draw(st.sampled_from([1, 1, 2, 3])), draw(st.integers(1, 40))
        minimum = granularity * draw(st.integers(1, steps))
        groups.append(ChannelGroup(name=f"g{index}", full=granularity * steps, minimum=minimum, granularity=granularity))
    chain = [GeneratedParameter(name="first", axes=((Segment(group="g0"),), (Segment(count=3),)), in_dim=1, macs_per_element=16)]
    for before, after in pairwise(groups):
        axes = ((Segment(group=after.name),), (Segment(group=before.name),))
        chain.append(GeneratedParameter(name=after.name, axes=axes, in_dim=1, macs_per_element=4))
    compression = draw(st.integers(0, 99)) / 100
    return Architecture(groups=tuple(groups), parameters=tuple(chain), max_compression=compression, fixed_params=draw(st.integers(0, 50)))


def cost(architecture: Architecture, member: Configuration) -> ArtifactCost:
    found = cost_of(architecture, member)
    return ArtifactCost(found.params, found.macs, bytes=4 * found.params + 100)


@given(families())
def test_the_members_are_all_that_a_uniform_compression_gives(architecture: Architecture) -> None:
    members = uniform_members(architecture)
    for percent in range(0, 1 + round(100 * architecture.max_compression), 3):
        assert uniform(architecture, percent / 100) in members


@given(families(), st.data())
def test_the_solver_finds_the_largest_member_that_fits(architecture: Architecture, data: st.DataObject) -> None:
    members = uniform_members(architecture)
    aim = cost(architecture, data.draw(st.sampled_from(members)))
    drawn = {name: data.draw(st.none() | st.integers(max(1, value - 20), value + 20)) for name, value in aim.as_dict().items()}
    limits = {name: value for name, value in drawn.items() if value is not None} or {"params": aim.params}
    fitting = [member for member in members if all(cost(architecture, member).as_dict()[name] <= limit for name, limit in limits.items())]
    if fitting:
        assert solve(architecture, Budget(**limits), lambda member: cost(architecture, member)) == fitting[-1]
    else:
        with pytest.raises(BudgetImpossible) as impossible:
            solve(architecture, Budget(**limits), lambda member: cost(architecture, member))
        smallest = cost(architecture, members[0]).as_dict()
        assert impossible.value.smallest == smallest
        assert impossible.value.exceeded == {name: limit for name, limit in limits.items() if smallest[name] > limit}


def test_members_that_are_not_tried_are_not_made() -> None:
    groups = tuple(ChannelGroup(name=f"g{k}", full=100 + k, minimum=1) for k in range(64))
    vectors = tuple(GeneratedParameter(name=group.name, axes=((Segment(group=group.name),),), macs_per_element=0) for group in groups)
    architecture = Architecture(groups=groups, parameters=vectors, max_compression=0.9)
    tracemalloc.start()
    try:
        found = solve(architecture, Budget(params=5000), lambda member: cost(architecture, member))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert cost(architecture, found).params <= 5000
    # Some 7,500 members have 64 widths each; a pair of a name and a width takes 56 bytes and more.
    assert peak < 8 * 2**20


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("name", ["params", "macs", "bytes"])
def test_every_limit_of_a_real_family_is_met_exactly(tiny_manifold: Manifold, name: str, precision: str) -> None:
    members = uniform_members(tiny_manifold.architecture)
    assert len(members) == 16
    for member in members:
        value = tiny_manifold.cost(member, precision).as_dict()[name]
        assert tiny_manifold.configure(budget=Budget(**{name: value}), precision=precision) == member
    below = tiny_manifold.cost(members[-1], precision).as_dict()[name] - 1
    assert tiny_manifold.configure(budget=Budget(**{name: below}), precision=precision) == members[-2]


def test_bytes_are_those_of_the_precision(tiny_manifold: Manifold) -> None:
    limits = Budget(bytes=tiny_manifold.cost(tiny_manifold.configure(0.5), "fp32").bytes)
    single, half = (tiny_manifold.configure(budget=limits, precision=precision) for precision in ("fp32", "fp16"))
    assert half["conv2"] > single["conv2"]


def test_all_limits_hold_together(tiny_manifold: Manifold) -> None:
    tight = tiny_manifold.cost(tiny_manifold.configure(0.6))
    assert tiny_manifold.configure(budget=Budget(params=10**9, macs=tight.macs, bytes=10**9)) == tiny_manifold.configure(0.6)


def test_an_impossible_budget_states_the_smallest(tiny_manifold: Manifold) -> None:
    smallest = tiny_manifold.cost(tiny_manifold.configure(0.75))
    with pytest.raises(BudgetImpossible) as impossible:
        tiny_manifold.configure(budget=Budget(params=10, macs=10**9))
    assert impossible.value.smallest == smallest.as_dict()
    assert impossible.value.exceeded == {"params": 10}
    assert impossible.value.code == "budget_impossible"
    assert str(impossible.value) == (
        f"budget: no member of the family has params <= 10; the lowest are params = {smallest.params}, macs = {smallest.macs}, "
        f"bytes = {smallest.bytes}."
    )


def within(manifold: Manifold, compression: float, precision: str = "fp32") -> Configuration:
    """What a budget comes to that this member just fits in."""
    macs = manifold.cost(manifold.configure(compression)).macs
    return manifold.configure(budget=Budget(macs=macs), precision=precision)


def test_a_smaller_member_that_was_measured_to_be_better_is_preferred() -> None:
    dip = with_curve({0: 0.9, 0.25: 0.7, 0.5: 0.8, 0.75: 0.75})
    assert [within(dip, asked) for asked in (0, 0.25, 0.5, 0.6, 0.75)] == [dip.configure(found) for found in (0, 0.5, 0.5, 0.6, 0.75)]


@pytest.mark.parametrize(("samples", "chosen"), [(1_000, 0.25), (100_000, 0.5)])
def test_what_may_be_chance_prefers_nothing(samples: int, chosen: float) -> None:
    """0.1 points are less than a standard deviation of 1,000 samples, 0.9, and more than that of 100,000."""
    manifold = with_curve({0: 0.95, 0.25: 0.9, 0.5: 0.901}, samples=samples)
    assert within(manifold, 0.25) == manifold.configure(chosen)


def test_of_several_that_are_better_chance_does_not_choose_the_smallest() -> None:
    manifold = with_curve({0: 0.95, 0.25: 0.8, 0.5: 0.85, 0.75: 0.8501})
    assert within(manifold, 0.25) == manifold.configure(0.5)


def test_points_outside_of_the_trained_range_are_no_members_to_prefer() -> None:
    manifold = with_curve({0: 0.9, 0.5: 0.7, 0.75: 0.65})
    curve = manifold.header.curve
    assert curve is not None
    beyond = [({"conv1": 1, "conv2": 1}, 0.99), ({"conv1": 9, "conv2": 14}, 0.99), ({"conv1": 2, "conv2": 4}, 0.99)]
    points = [CurvePoint(compression=0.75, widths=widths, params=1, macs=1, quality=quality) for widths, quality in beyond]
    manifold.header = manifold.header.model_copy(update={"curve": curve.model_copy(update={"points": (*curve.points, *points)})})
    assert [within(manifold, asked) for asked in (0, 0.5)] == [manifold.configure(asked) for asked in (0, 0.5)]


def test_a_quality_that_is_no_fraction_has_no_chance_to_allow_for() -> None:
    manifold = with_curve({0: -3.0, 0.25: -5.0, 0.5: -4.9}, samples=10)
    assert within(manifold, 0.25) == manifold.configure(0.5)


def test_the_quality_of_the_precision_decides() -> None:
    manifold = with_curve({0: 0.9, 0.5: 0.85, 0.75: 0.8}, fp16=0.3)
    assert within(manifold, 0.5) == manifold.configure(0.5)
    assert within(manifold, 0.5, "fp16") == manifold.configure(0.75)


def test_without_a_curve_the_largest_is_all_that_is_known() -> None:
    manifold = tiny.tiny_manifold()
    manifold.header = manifold.header.model_copy(update={"curve": None})
    assert within(manifold, 0.25) == manifold.configure(0.25)


@given(qualities=st.lists(st.floats(0, 1), min_size=4, max_size=4), limit=st.integers(1, 10_000), name=st.sampled_from(["params", "macs", "bytes"]))
def test_whatever_is_preferred_stays_within_the_budget(qualities: list[float], limit: int, name: str) -> None:
    manifold = with_curve(dict(zip((0, 0.25, 0.5, 0.75), qualities, strict=True)))
    budget = Budget(**{name: manifold.cost(manifold.configure(0.75)).as_dict()[name] + limit})
    found = manifold.configure(budget=budget)
    assert budget.allows(manifold.cost(found))
    largest = solve(manifold.architecture, budget, manifold.cost)
    promised, wanted = manifold.quality(largest).value, manifold.quality(found).value
    assert promised is not None
    assert wanted is not None
    assert wanted >= promised


@pytest.mark.parametrize("value", NO_BUDGETS)
def test_a_limit_is_a_positive_integer(tiny_manifold: Manifold, value: Any) -> None:
    with pytest.raises(InvalidField) as refused:
        tiny_manifold.configure(budget=Budget(macs=value))
    assert (refused.value.field, refused.value.expected) == ("budget.macs", "a positive integer")


def test_a_budget_sets_at_least_one_limit(tiny_manifold: Manifold) -> None:
    with pytest.raises(InvalidField, match="at least one of params, macs and bytes"):
        tiny_manifold.configure(budget=Budget())


@pytest.mark.parametrize("selectors", [{}, {"compression": 0.5, "widths": {}}, {"compression": 0.5, "budget": Budget(params=1)}])
def test_there_is_exactly_one_selector(tiny_manifold: Manifold, selectors: dict[str, Any]) -> None:
    with pytest.raises(InvalidField, match="exactly one of compression, widths and budget"):
        tiny_manifold.configure(**selectors)
