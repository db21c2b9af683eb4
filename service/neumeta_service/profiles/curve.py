"""Latency against compression: what a device's measurements say about sizes that were not measured."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from statistics import fmean
from typing import Self

import numpy as np


@dataclass(frozen=True)
class LatencyCurve:
    """Milliseconds at an effective compression: linear between points of rising compression, at which it never rises."""

    compressions: tuple[float, ...]
    latencies_ms: tuple[float, ...]

    @classmethod
    def fit(cls, points: Iterable[tuple[float, float]]) -> Self:
        """The curve nearest to (compression, milliseconds) in least squares; points of one compression count as their mean, each."""
        measured = [(compression, [latency for _, latency in same]) for compression, same in groupby(sorted(points), itemgetter(0))]
        return cls(tuple(compression for compression, _ in measured), tuple(_pooled([latencies for _, latencies in measured])))

    def at(self, compression: float) -> float:
        """Milliseconds: infinitely many of a network larger than any that was measured, of a smaller one those of the smallest."""
        return float(np.interp(compression, self.compressions, self.latencies_ms, left=math.inf))


def _pooled(samples: list[list[float]]) -> list[float]:
    """For each list of samples one value, none larger than the one before: neighbours that rise are pooled (PAVA, Ayer et al. 1955)."""
    blocks: list[tuple[int, list[float]]] = []
    for latencies in samples:
        blocks.append((1, latencies))
        while len(blocks) > 1 and fmean(blocks[-2][1]) < fmean(blocks[-1][1]):
            (count, later), (earlier_count, earlier) = blocks.pop(), blocks.pop()
            blocks.append((earlier_count + count, earlier + later))
    return [fmean(latencies) for count, latencies in blocks for _ in range(count)]
