"""How few right answers are too few."""

from __future__ import annotations

from math import exp, lgamma

THRESHOLD = 1e-6
"""Least probability that still passes."""
# More samples say nothing more at this threshold, and lgamma loses digits.
_MAX_SAMPLES = 1_000_000


def is_far_under(right: int, canaries: int, quality: float, samples: int) -> bool:
    """True when ``right`` or fewer of ``canaries`` would be right with a probability under ``THRESHOLD``.

    ``quality`` in [0, 1] was measured on ``samples`` images, and is itself uncertain: the number right has a beta-binomial distribution,
    the posterior predictive of a uniform prior. So few canaries, or a curve of few samples, never look like a fault.
    """
    samples = min(samples, _MAX_SAMPLES)
    hits, misses = 1 + quality * samples, 1 + (1 - quality) * samples
    return sum(_probability(count, canaries, hits, misses) for count in range(right + 1)) < THRESHOLD


def _probability(count: int, canaries: int, hits: float, misses: float) -> float:
    ways = lgamma(canaries + 1) - lgamma(count + 1) - lgamma(canaries - count + 1)
    return exp(ways + _log_beta(count + hits, canaries - count + misses) - _log_beta(hits, misses))


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)
