from __future__ import annotations

from fractions import Fraction
from math import floor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from neumeta_core.architecture import Architecture, ChannelGroup, GeneratedParameter, Segment
from neumeta_core.configuration import Configuration, effective_compression, from_widths, round_width, uniform
from neumeta_core.errors import InvalidField

from tests.tiny import tiny_architecture

ARCHITECTURE = tiny_architecture()


@st.composite
def channel_groups(draw: st.DrawFn) -> ChannelGroup:
    granularity = draw(st.sampled_from([1, 1, 2, 3, 8]))
    steps = draw(st.integers(1, 700))
    return ChannelGroup(name="g", full=granularity * steps, minimum=granularity * draw(st.integers(1, steps)), granularity=granularity)


def of_one(group: ChannelGroup) -> Architecture:
    parameter = GeneratedParameter(name="bias", axes=((Segment(group="g"),),), macs_per_element=0)
    return Architecture(groups=(group,), parameters=(parameter,), max_compression=0.999)


def stated_rule(group: ChannelGroup, compression: Fraction) -> int:
    width = group.granularity * floor(group.full * (1 - compression) / group.granularity + Fraction(1, 2))
    return min(max(width, group.minimum), group.full)


@given(channel_groups(), st.integers(0, 999))
def test_widths_follow_the_stated_rule_exactly(group: ChannelGroup, thousandths: int) -> None:
    assert uniform(of_one(group), thousandths / 1000)["g"] == stated_rule(group, Fraction(thousandths, 1000))


@pytest.mark.parametrize(
    ("full", "compression", "width"),
    # 100 * 0.145 is 14.499999999999998 and 1 - 0.85 is 0.15000000000000002 in binary; by the rule these are halves.
    [(100, 0.855, 15), (10, 0.85, 2), (150, 0.31, 104), (10, 0.75, 3), (7, 0.5, 4), (8, 0.0, 8), (32, 0.62, 12), (3, 0.999, 1)],
)
def test_halves_are_rounded_up(full: int, compression: float, width: int) -> None:
    assert uniform(of_one(ChannelGroup(name="g", full=full, minimum=1)), compression)["g"] == width


@given(channel_groups(), st.floats(0, 0.999), st.floats(0, 0.999))
def test_widths_stay_in_range_on_the_grid_and_fall_with_compression(group: ChannelGroup, one: float, other: float) -> None:
    less, more = sorted((one, other))
    wide, narrow = uniform(of_one(group), less)["g"], uniform(of_one(group), more)["g"]
    assert group.minimum <= narrow <= wide <= group.full
    assert narrow % group.granularity == 0
    assert uniform(of_one(group), 0)["g"] == group.full


@given(channel_groups(), st.floats(0, 1))
def test_the_nearest_multiple_is_taken(group: ChannelGroup, ratio: float) -> None:
    wanted = group.full * ratio
    if group.minimum <= wanted:
        assert abs(round_width(group, ratio) - wanted) <= group.granularity / 2 + 1e-6


@pytest.mark.parametrize(
    "value",
    [-0.01, 0.7501, 1, 2.0, float("nan"), float("inf"), -float("inf"), True, False, "0.5", None, [0.5], 10**400, pytest.param(10**5000, id="long")],
)
def test_a_bad_compression_names_field_value_and_range(value: Any) -> None:
    with pytest.raises(InvalidField) as refused:
        uniform(ARCHITECTURE, value)
    assert refused.value.field == "compression"
    assert refused.value.value is value
    assert refused.value.expected == "a number from 0 to 0.75"
    assert str(refused.value).startswith("compression: ")
    assert refused.value.code == "invalid_request"


def test_the_range_that_is_named_has_the_number_that_was_refused_outside() -> None:
    with pytest.raises(InvalidField, match=r"compression: 0\.6666667 is not allowed; expected a number from 0 to 0\.6666666666666666\."):
        uniform(ARCHITECTURE.model_copy(update={"max_compression": 2 / 3}), 0.6666667)


def test_widths_are_taken_by_name_in_the_order_of_the_architecture() -> None:
    member = from_widths(ARCHITECTURE, {"conv2": 5, "conv1": 7})
    assert list(member.items()) == [("conv1", 7), ("conv2", 5)]
    assert member == Configuration((("conv1", 7), ("conv2", 5)))
    assert hash(member) == hash(from_widths(ARCHITECTURE, {"conv1": 7, "conv2": 5}))
    assert repr(member) == "Configuration(conv1=7, conv2=5)"
    with pytest.raises(KeyError):
        member["conv3"]


@pytest.mark.parametrize(
    ("widths", "field", "expected"),
    [
        ({"conv1": 1, "conv2": 5}, "widths.conv1", "an integer from 2 to 8"),
        ({"conv1": 9, "conv2": 5}, "widths.conv1", "an integer from 2 to 8"),
        ({"conv1": 4, "conv2": 13}, "widths.conv2", "an integer from 3 to 12"),
        ({"conv1": 4}, "widths.conv2", "an integer from 3 to 12"),
        ({"conv1": 4, "conv2": 5, "conv3": 6}, "widths.conv3", "one of the channel groups conv1, conv2"),
        ({"conv1": True, "conv2": 5}, "widths.conv1", "an integer from 2 to 8"),
        ({"conv1": 4.0, "conv2": 5}, "widths.conv1", "an integer from 2 to 8"),
        ({"conv1": "4", "conv2": 5}, "widths.conv1", "an integer from 2 to 8"),
        ({}, "widths.conv1", "an integer from 2 to 8"),
    ],
)
def test_bad_widths_name_the_group(widths: dict[str, Any], field: str, expected: str) -> None:
    with pytest.raises(InvalidField) as refused:
        from_widths(ARCHITECTURE, widths)
    assert (refused.value.field, refused.value.expected) == (field, expected)


def test_widths_off_the_grid_are_refused() -> None:
    stepped = of_one(ChannelGroup(name="g", full=16, minimum=4, granularity=4))
    assert from_widths(stepped, {"g": 8})["g"] == 8
    with pytest.raises(InvalidField, match="an integer from 4 to 16 in steps of 4"):
        from_widths(stepped, {"g": 6})


def test_extrapolation_is_opt_in_and_stays_on_the_grid() -> None:
    stepped = of_one(ChannelGroup(name="g", full=16, minimum=8, granularity=4))
    assert from_widths(stepped, {"g": 20}, extrapolate=True)["g"] == 20
    assert from_widths(stepped, {"g": 4}, extrapolate=True)["g"] == 4
    for width in (0, -4, 6):
        with pytest.raises(InvalidField, match="an integer of at least 4 in steps of 4"):
            from_widths(stepped, {"g": width}, extrapolate=True)


def test_effective_compression_is_what_the_integers_come_to() -> None:
    assert effective_compression(ARCHITECTURE, {"conv1": 8, "conv2": 12}) == 0
    assert effective_compression(ARCHITECTURE, {"conv1": 4, "conv2": 6}) == 0.5
    assert effective_compression(ARCHITECTURE, {"conv1": 3, "conv2": 11}) == 0.3
