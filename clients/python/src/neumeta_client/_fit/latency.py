"""How long one call of a network takes."""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import dataclass
from typing import Callable

METRICS = ("p50", "p95")
WARM_UP_RUNS = 10
ROUND_RUNS = 20
MOST_ROUNDS = 10
STEADY = 0.02
"""A round that moves the median by no more than this share is the last one."""


@dataclass(frozen=True)
class Latency:
    """Milliseconds of single calls with one sample: median and 95th percentile of so many ``runs``."""

    p50_ms: float
    p95_ms: float
    runs: int
    memory_bytes: int | None = None
    """By how much the network made the resident set of a process grow; None when that was not measured."""

    def of(self, metric: str) -> float:
        """Milliseconds by ``p50`` or ``p95``."""
        return self.p50_ms if metric == "p50" else self.p95_ms


def time_calls(call: Callable[[], object], *, clock: Callable[[], float] = time.perf_counter) -> Latency:
    """Call until the median is steady, some calls for warming up left out; ``clock`` gives seconds.

    Between 2 and ``MOST_ROUNDS`` rounds of ``ROUND_RUNS`` calls are timed.
    """
    for _ in range(WARM_UP_RUNS):
        call()
    seconds: list[float] = []
    median = math.inf
    for _ in range(MOST_ROUNDS):
        seconds += [_timed(call, clock) for _ in range(ROUND_RUNS)]
        before, median = median, statistics.median(seconds)
        if abs(median - before) <= STEADY * median:
            break
    return Latency(1e3 * median, 1e3 * _percentile(seconds, 95), len(seconds))


def _timed(call: Callable[[], object], clock: Callable[[], float]) -> float:
    start = clock()
    call()
    return clock() - start


def _percentile(values: list[float], percent: int) -> float:
    """The smallest value that so many percent of all do not exceed (nearest rank)."""
    return sorted(values)[math.ceil(percent * len(values) / 100) - 1]
