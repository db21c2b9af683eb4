"""Levels: weights of their own for the smaller members of a family.

A network that shares every weight with all of its smaller members pays for it. So a member's weights may be a sum of prefixes:
of the full network's anchor, and of one more anchor for every *level*, which is a width ratio. An anchor is faded in between
the level above it and its own; members as wide as its level, or narrower, hold it whole. One gate serves all layers of a
member, by its mean width ratio: layers of different levels then never meet, and need not fit each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

from pydantic import AfterValidator, Field

from neumeta_core.architecture import Architecture, Widths
from neumeta_core.configuration import Configuration, rounded


def _from_wide_to_narrow(levels: tuple[float, ...]) -> tuple[float, ...]:
    if any(upper <= lower for upper, lower in pairwise(levels)):
        raise ValueError("levels go from wide to narrow, each one smaller than the one before")
    return levels


Levels = Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(max_length=16), AfterValidator(_from_wide_to_narrow)]
"""Width ratios from wide to narrow."""


def level_configurations(architecture: Architecture, levels: Sequence[float]) -> list[Configuration]:
    """The member that every level is made for: all groups at its width ratio, rounded and limited as for ``uniform``."""
    return [rounded(architecture, level) for level in levels]


def level_gates(architecture: Architecture, levels: Sequence[Widths], widths: Widths) -> list[float]:
    """Weight in [0, 1] of every level's anchor in the member with these widths; ``levels`` are their members, from wide to narrow."""
    ratio = _mean_ratio(architecture, widths)
    edges = [1.0, *(_mean_ratio(architecture, level) for level in levels)]
    return [_faded(ratio, above, edge) for above, edge in pairwise(edges)]


def distance_to_nearest(architecture: Architecture, members: Sequence[Widths], widths: Widths) -> float:
    """Mean difference of width ratios, without sign, between these widths and the nearest of some members."""
    return min(
        sum(abs(widths[group.name] - member[group.name]) / group.full for group in architecture.groups) / len(architecture.groups)
        for member in members
    )


def _faded(ratio: float, above: float, edge: float) -> float:
    """0 from ``above`` upwards, 1 from ``edge`` downwards, linear between; rounding may have made the two equal."""
    if ratio <= edge:
        return 1.0
    return max(0.0, (above - ratio) / (above - edge)) if above > edge else 0.0


def _mean_ratio(architecture: Architecture, widths: Widths) -> float:
    return sum(widths[group.name] / group.full for group in architecture.groups) / len(architecture.groups)
