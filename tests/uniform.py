"""Every member that a uniform compression gives, found without the code that is tested."""

from __future__ import annotations

from fractions import Fraction
from math import floor

from neumeta_core.architecture import Architecture
from neumeta_core.configuration import Configuration


def uniform_members(architecture: Architecture) -> list[Configuration]:
    """Every uniform member, by exact fractions: widths change only where some group meets a half."""
    smallest = 1 - Fraction(str(architecture.max_compression))
    halves = {Fraction(2 * step + 1, 2) * group.granularity / group.full for group in architecture.groups for step in range(group.full)}
    ratios = sorted({smallest, Fraction(1), *(ratio for ratio in halves if smallest <= ratio <= 1)})
    members = []
    for ratio in ratios:
        widths = []
        for group in architecture.groups:
            width = group.granularity * floor(group.full * ratio / group.granularity + Fraction(1, 2))
            widths.append((group.name, min(max(width, group.minimum), group.full)))
        members.append(Configuration(tuple(widths)))
    return list(dict.fromkeys(members))
