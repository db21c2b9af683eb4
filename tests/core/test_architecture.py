from __future__ import annotations

from typing import Any

import pytest
from neumeta_core.architecture import Architecture, ChannelGroup, GeneratedParameter, Patch, Segment, axis_size
from pydantic import ValidationError

from tests.tiny import fixed, group, tiny_architecture

GROUP = ChannelGroup(name="a", full=8, minimum=2)
PATCH = Patch(node="target", attribute="value", index=1, axis=group("a"))


def vector(name: str = "bias", axis: tuple[Segment, ...] = group("a")) -> GeneratedParameter:
    return GeneratedParameter(name=name, axes=(axis,), macs_per_element=0)


def architecture(**changes: Any) -> Architecture:
    return Architecture(**{"groups": (GROUP,), "parameters": (vector(),), "max_compression": 0.5} | changes)


def test_an_axis_is_as_long_as_its_segments() -> None:
    axis = (Segment(group="a", repeat=4), Segment(count=3), Segment(group="b"), Segment(count=2, repeat=5))
    assert axis_size(axis, {"a": 6, "b": 7}) == 24 + 3 + 7 + 10


def test_shapes_follow_the_widths() -> None:
    by_name = tiny_architecture().by_name
    widths = {"conv1": 3, "conv2": 5}
    assert by_name["conv2.weight"].shape(widths) == (5, 3, 3, 3)
    assert by_name["conv2.weight"].elements(widths) == 135
    assert by_name["conv2.weight"].kernel == (3, 3)
    assert by_name["conv2.bias"].shape(widths) == (5,)
    assert by_name["head.weight"].shape(widths) == (3, 80)
    assert by_name["head.weight"].kernel == ()


@pytest.mark.parametrize(
    ("full", "minimum", "granularity"),
    [(8, 9, 1), (8, 3, 2), (9, 2, 2), (0, 1, 1), (8, 0, 1), (8, 2, 0), (10**30, 1, 1)],
)
def test_a_group_has_an_ordered_range_of_multiples(full: int, minimum: int, granularity: int) -> None:
    with pytest.raises(ValidationError):
        ChannelGroup(name="a", full=full, minimum=minimum, granularity=granularity)


@pytest.mark.parametrize(
    "fields", [{}, {"group": "a", "count": 3}, {"group": ""}, {"count": 0}, {"group": "a", "repeat": 0}, {"count": 1, "other": 2}]
)
def test_a_segment_is_a_group_or_a_count(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Segment(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"axes": (group("a"),), "out_dim": 1},
        {"axes": (group("a"), group("a")), "in_dim": 0},
        {"axes": (group("a"), group("a")), "in_dim": 2},
        {"axes": (group("a"), group("a"))},
        {"axes": (group("a"), fixed(1), group("a")), "in_dim": 1},
        {"axes": ()},
        {"axes": ((),)},
        {"axes": (group("a"),), "macs_per_element": -1},
        {"axes": (group("a"),), "macs_per_element": float("inf")},
    ],
)
def test_a_parameter_names_its_channel_dimensions(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        GeneratedParameter(**{"name": "w", "macs_per_element": 0} | fields)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"groups": (GROUP, GROUP)}, "two channel groups have the same name"),
        ({"parameters": (vector(), vector())}, "two generated parameters have the same name"),
        ({"parameters": (vector(axis=group("b")),)}, "channel groups that do not exist: ['b']"),
        ({"parameters": (vector(axis=fixed(2**29)), vector("more"))}, "an ONNX file holds at most"),
        ({"groups": (ChannelGroup(name="a", full=2**20 + 1, minimum=1),)}, "1048577 widths together; at most 1048576"),
        ({"groups": tuple(ChannelGroup(name=name, full=2**19 + 1, minimum=1) for name in "ab")}, "1048578 widths together"),
        ({"patches": (PATCH, PATCH.model_copy(update={"axis": fixed(3)}))}, "two patches set the same integer"),
        ({"max_compression": 1.0}, "less than 1"),
        ({"fixed_params": -1}, "greater than or equal to 0"),
    ],
)
def test_an_architecture_is_consistent(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError) as refused:
        architecture(**changes)
    assert sentence in str(refused.value)


def test_widths_are_counted_in_steps_and_patches_by_their_place() -> None:
    wide = ChannelGroup(name="a", full=2**20 + 8, minimum=8, granularity=8)
    other = PATCH.model_copy(update={"index": 2})
    assert architecture(groups=(wide,), patches=(PATCH, other)).patches == (PATCH, other)


def test_a_patch_counts_from_the_start() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        Patch(node="target", attribute="value", index=-1, axis=group("a"))
