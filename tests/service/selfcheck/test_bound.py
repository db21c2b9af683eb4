from __future__ import annotations

from math import comb

import pytest
from neumeta_service.selfcheck.bound import THRESHOLD, is_far_under


def least(canaries: int, quality: float, samples: int) -> int:
    """The least number of right answers that passes."""
    return next(right for right in range(canaries + 1) if not is_far_under(right, canaries, quality, samples))


@pytest.mark.parametrize(
    ("canaries", "quality", "samples", "expected"),
    [(16, 0.9946, 10_000, 12), (16, 0.7, 10_000, 2), (64, 0.9, 10_000, 44), (64, 1.0, 100, 51), (64, 1.0, 10_000, 62)],
)
def test_the_least_number_that_passes(canaries: int, quality: float, samples: int, expected: int) -> None:
    assert least(canaries, quality, samples) == expected


@pytest.mark.parametrize("canaries", [1, 2, 3])
@pytest.mark.parametrize("quality", [0.0, 0.5, 0.9])
def test_so_few_canaries_never_look_like_a_fault(canaries: int, quality: float) -> None:
    assert least(canaries, quality, 10_000) == 0


def test_a_curve_of_one_sample_promises_next_to_nothing() -> None:
    assert least(16, 1.0, 1) == 0


@pytest.mark.parametrize("samples", [10**6, 10**9, 10**30])
def test_a_certain_curve_gives_the_binomial_bound(samples: int) -> None:
    def below(right: int) -> float:
        return sum(comb(64, count) * 0.9**count * 0.1 ** (64 - count) for count in range(right + 1))

    right = least(64, 0.9, samples)
    assert below(right - 1) < THRESHOLD <= below(right)


def test_everything_right_passes() -> None:
    for quality in (0.0, 0.5, 1.0):
        assert not is_far_under(16, 16, quality, 10_000)
