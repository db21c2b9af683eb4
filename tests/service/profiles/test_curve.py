"""Latency curves: the fit against another implementation, and what is said where nothing was measured."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from neumeta_service.profiles import LatencyCurve
from sklearn.isotonic import isotonic_regression

POINTS = st.lists(st.tuples(st.integers(0, 20).map(lambda step: step / 20), st.floats(0.01, 1000)), min_size=1, max_size=40)


@given(POINTS)
def test_the_fit_is_the_isotonic_regression(points: list[tuple[float, float]]) -> None:
    curve = LatencyCurve.fit(points)
    means = {at: [latency for other, latency in points if other == at] for at in sorted({at for at, _ in points})}
    weights = [len(latencies) for latencies in means.values()]
    expected = isotonic_regression([np.mean(latencies) for latencies in means.values()], sample_weight=weights, increasing=False)
    assert curve.compressions == tuple(means)
    assert curve.latencies_ms == pytest.approx(list(expected))
    assert all(later <= earlier for earlier, later in pairwise(curve.latencies_ms))


@given(POINTS, st.floats(0, 1), st.floats(0, 1))
def test_latency_never_rises_with_compression(points: list[tuple[float, float]], one: float, other: float) -> None:
    curve = LatencyCurve.fit(points)
    assert curve.at(min(one, other)) >= curve.at(max(one, other)) - 1e-9


def test_measured_latencies_that_fall_are_kept_and_joined_by_lines() -> None:
    curve = LatencyCurve.fit([(0.75, 1.9), (0.25, 6.4), (0.5, 3.1)])
    assert [curve.at(compression) for compression in (0.25, 0.5, 0.75)] == [6.4, 3.1, 1.9]
    assert curve.at(0.625) == pytest.approx(2.5)


def test_nothing_is_extrapolated() -> None:
    curve = LatencyCurve.fit([(0.25, 6.4), (0.5, 3.1)])
    assert curve.at(0.249) == math.inf
    assert curve.at(0.9) == 3.1


def test_what_rises_is_pooled() -> None:
    assert LatencyCurve.fit([(0.0, 5.0), (0.25, 2.0), (0.5, 4.0), (0.75, 1.0)]).latencies_ms == (5.0, 3.0, 3.0, 1.0)
    assert LatencyCurve.fit([(0.0, 1.0), (0.5, 2.0), (0.75, 6.0)]).latencies_ms == (3.0, 3.0, 3.0)
