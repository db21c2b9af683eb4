from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, repeat

import pytest

from neumeta_client._fit.latency import MOST_ROUNDS, ROUND_RUNS, WARM_UP_RUNS, Latency, time_calls


class Played:
    """A clock that calls move on, by the given seconds."""

    def __init__(self, seconds: Iterable[float]) -> None:
        self.seconds, self.now, self.calls = iter(seconds), 0.0, 0

    def __call__(self) -> float:
        return self.now

    def call(self) -> None:
        self.calls += 1
        self.now += next(self.seconds)


def timed(seconds: Iterable[float]) -> tuple[Latency, int]:
    clock = Played(seconds)
    return time_calls(clock.call, clock=clock), clock.calls


def test_calls_for_warming_up_do_not_count():
    latency, calls = timed(chain(repeat(9.0, WARM_UP_RUNS), repeat(0.25)))
    assert latency == Latency(250, 250, 2 * ROUND_RUNS)
    assert calls == WARM_UP_RUNS + latency.runs


def test_the_percentile_is_of_single_calls():
    latency, _ = timed(chain(repeat(1.0, WARM_UP_RUNS), repeat(0.5, 37), [1.0, 2.0, 4.0]))
    assert latency == Latency(500, 1000, 40)
    assert (latency.of("p50"), latency.of("p95")) == (500, 1000)


def test_it_goes_on_until_the_median_is_steady():
    seconds = chain(repeat(1.0, WARM_UP_RUNS), repeat(2.0, ROUND_RUNS), repeat(1.0))
    assert timed(seconds)[0] == Latency(1000, 2000, 4 * ROUND_RUNS)


def test_it_ends_though_the_median_never_gets_steady():
    latency, _ = timed(2.0**count for count in range(10_000))
    assert latency.runs == MOST_ROUNDS * ROUND_RUNS


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt])
def test_a_fault_of_the_call_is_not_hidden(fault):
    def call() -> None:
        raise fault

    with pytest.raises(fault):
        time_calls(call)
