from __future__ import annotations

import pytest
from neumeta_core.levels import level_configurations, level_gates

from tests.tiny import tiny_architecture

ARCHITECTURE = tiny_architecture()
LEVELS = level_configurations(ARCHITECTURE, (0.75, 0.5, 0.25))


def opened(one: int, two: int) -> list[float]:
    return level_gates(ARCHITECTURE, LEVELS, {"conv1": one, "conv2": two})


def test_a_level_is_a_member_at_its_ratio() -> None:
    assert [dict(level) for level in LEVELS] == [{"conv1": 6, "conv2": 9}, {"conv1": 4, "conv2": 6}, {"conv1": 2, "conv2": 3}]


def test_a_level_is_never_smaller_than_the_smallest_member() -> None:
    assert dict(level_configurations(ARCHITECTURE, (0.1,))[0]) == {"conv1": 2, "conv2": 3}


def test_levels_open_one_after_the_other() -> None:
    assert opened(8, 12) == [0, 0, 0]
    assert opened(6, 9) == [1, 0, 0]
    assert opened(4, 6) == [1, 1, 0]
    assert opened(2, 3) == [1, 1, 1]
    assert opened(1, 1) == [1, 1, 1]


def test_between_levels_a_gate_rises_with_the_mean_ratio_of_all_groups() -> None:
    assert opened(7, 10) == pytest.approx([(1 - (7 / 8 + 10 / 12) / 2) / 0.25, 0, 0])
    assert opened(8, 3) == pytest.approx([1, (0.75 - (1 + 0.25) / 2) / 0.25, 0])
    assert opened(8, 3) == opened(3, 10.5)  # the same mean ratio


def test_levels_that_rounding_makes_equal_open_together() -> None:
    twice = level_configurations(ARCHITECTURE, (0.5, 0.4999))
    assert level_gates(ARCHITECTURE, twice, {"conv1": 4, "conv2": 6}) == [1, 1]
    assert level_gates(ARCHITECTURE, twice, {"conv1": 5, "conv2": 6})[1] == 0
    widest = level_configurations(ARCHITECTURE, (0.999,))
    assert level_gates(ARCHITECTURE, widest, {"conv1": 8, "conv2": 12}) == [1]
