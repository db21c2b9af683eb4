"""A number over seeds: mean and sample standard deviation."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

PERCENT = ("accuracy", "mIoU")
"""Metrics that are fractions and shown as percentages."""


@dataclass(frozen=True)
class Spread:
    """Mean, sample standard deviation (0 for one value) and number of values."""

    mean: float
    deviation: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one value."""
        return cls(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0, len(values))

    def text(self, form: Callable[[float], str]) -> str:
        """``mean ± deviation``, or the value alone when there is one."""
        return f"{form(self.mean)} ± {form(self.deviation)}" if self.count > 1 else form(self.mean)


def quality_form(metric: str) -> Callable[[float], str]:
    """How a quality is written."""
    return (lambda value: f"{100 * value:.2f}") if metric in PERCENT else (lambda value: f"{value:.4g}")


def quality_title(metric: str) -> str:
    """What a quality is called, with its unit."""
    return f"{metric}, %" if metric in PERCENT else metric


def seed_list(seeds: Sequence[int]) -> str:
    """Seeds in words."""
    return f"one seed ({seeds[0]})" if len(seeds) == 1 else f"{len(seeds)} seeds ({', '.join(map(str, seeds))})"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; bars in cells are escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
