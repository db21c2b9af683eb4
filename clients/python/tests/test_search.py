from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from neumeta_client import ChannelGroup
from neumeta_client._fit.search import compressions_of, ladder, next_size, roundness


def groups(*full: int) -> list[ChannelGroup]:
    return [ChannelGroup(f"conv{index}", width, width // 4, 1) for index, width in enumerate(full)]


def roundnesses(*full: int, largest: float = 0.75) -> list[int]:
    return [roundness(groups(*full), compression) for compression in compressions_of(groups(*full), largest)]


LENET = roundnesses(32, 64, 128)


def found(loads: Sequence[float], sizes: Sequence[int] = LENET) -> tuple[int | None, list[int]]:
    """The first index that fits, None when none does, and what was measured for that."""
    measured: dict[int, float] = {}
    index = next_size(sizes, measured)
    while index is not None:
        assert index not in measured
        measured[index] = loads[index]
        index = next_size(sizes, measured)
    return min((index for index, load in measured.items() if load <= 1), default=None), list(measured)


def test_sizes_keep_whole_channels_in_equal_steps():
    assert compressions_of(groups(128, 32, 64), 0.75) == [step / 32 for step in range(25)]
    assert compressions_of(groups(16, 32, 64), 0.75) == compressions_of(groups(256, 512), 0.75) == [step / 32 for step in range(25)]


@pytest.mark.parametrize("full", [(32, 64, 128), (16, 32), (48, 96), (13, 27, 50), (512,), (1,), ()])
@pytest.mark.parametrize("largest", [0.1, 0.3, 0.5, 0.75, 0.9])
def test_sizes_go_from_the_full_network_to_the_smallest(full, largest):
    sizes = compressions_of(groups(*full), largest)
    assert (sizes[0], sizes[-1]) == (0, largest)
    assert sizes == sorted(set(sizes))
    assert 24 < len(sizes) <= 50


def test_a_model_of_one_size():
    assert compressions_of(groups(32), 0) == [0]


def test_roundness_is_a_power_of_two_in_every_width():
    assert [roundness(groups(32, 64, 128), compression) for compression in (0, 0.25, 0.5, 0.75, 0.375, 1 / 32, 2 / 32)] == [32, 8, 16, 8, 4, 1, 2]
    assert roundness(groups(48, 40), 0) == 8


@pytest.mark.parametrize("edge", range(len(LENET) + 1))
def test_the_largest_size_that_fits_is_found_whatever_it_is(edge):
    index, measured = found([100.0] * edge + [0.01] * (len(LENET) - edge))
    assert index == (edge if edge < len(LENET) else None)
    assert len(measured) <= 6


@pytest.mark.parametrize("full", [(16, 32, 64), (64, 128, 256, 512), (48, 96), (13, 27, 50), (6, 16, 120, 84)])
def test_it_is_found_in_families_of_all_widths(full):
    sizes = roundnesses(*full)
    counts = []
    for edge in range(len(sizes) + 1):
        index, measured = found([2.0] * edge + [0.5] * (len(sizes) - edge), sizes)
        assert index == (edge if edge < len(sizes) else None)
        counts.append(len(measured))
    assert max(counts) <= 8


@pytest.mark.parametrize("limit", [30, 48, 57, 60, 92, 100, 110, 112, 148, 150, 169])
def test_sizes_between_round_ones_may_be_slower_than_both(limit):
    # Microseconds as measured: multiples of 4, of 2 and odd widths are three curves, and each falls.
    curves = {4: lambda width: 6 * width - 20, 2: lambda width: 6.5 * width - 5, 1: lambda width: 7 * width + 15}
    times = [curves[min(LENET[index], 4)](32 - index) for index in range(len(LENET))]
    index, measured = found([time / limit for time in times])
    assert index == next((index for index, time in enumerate(times) if time <= limit), None)
    assert len(measured) <= 6


def test_all_fast_takes_one_measurement():
    assert found([0.5] * len(LENET)) == (0, [0])


@pytest.mark.parametrize("load", [1.0001, 2, 1e9, float("inf"), float("nan")])
def test_all_too_slow_is_known_when_the_smallest_is(load):
    index, measured = found([load] * len(LENET))
    assert (index, measured) == (None, [0, 16, 24])


@pytest.mark.parametrize("seed", range(200))
def test_noise_never_makes_it_answer_with_what_does_not_fit(seed):
    draw = random.Random(seed)
    loads = [(1 - index / 32) ** 2 / 0.2 * draw.uniform(0.7, 1.4) for index in range(len(LENET))]
    index, measured = found(loads)
    assert index is None or loads[index] <= 1
    assert len(measured) <= 6


@pytest.mark.parametrize(
    ("points", "expected"), [(2, [0, 0.75]), (3, [0, 0.5, 0.75]), (4, [0, 0.25, 0.5, 0.75]), (7, [0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75])]
)
def test_a_ladder_has_equal_steps_as_far_as_widths_are_round(points, expected):
    assert ladder(groups(32), 0.75, points) == expected


def test_a_ladder_of_an_odd_family_keeps_its_ends():
    sizes = ladder(groups(7, 13), 0.7, 9)
    assert (sizes[0], sizes[-1]) == (0, 0.7)
    assert sizes == sorted(set(sizes))
    assert 5 <= len(sizes) <= 9
