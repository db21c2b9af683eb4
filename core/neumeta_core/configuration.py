"""Configurations: an integer width for every channel group, and the rounding from a compression to them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from neumeta_core.architecture import Architecture, ChannelGroup
from neumeta_core.errors import InvalidField


@dataclass(frozen=True)
class Configuration(Mapping[str, int]):
    """One point of model space: channel group name -> width, in the architecture's order. Hashable."""

    items_: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, widths: Mapping[str, int]) -> Configuration:
        """These widths, in their order."""
        return cls(tuple(widths.items()))

    def __getitem__(self, group: str) -> int:
        return self._by_name[group]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self.items_)

    def __len__(self) -> int:
        return len(self.items_)

    @cached_property
    def _by_name(self) -> dict[str, int]:
        return dict(self.items_)

    def __repr__(self) -> str:
        return f"Configuration({', '.join(f'{name}={width}' for name, width in self.items_)})"


def round_width(group: ChannelGroup, ratio: float) -> int:
    """Width of a group at a uniform width ratio: nearest multiple of the granularity (halves up), within the trained range."""
    # Halves must be seen as halves: 100 * 0.145 is 14.499999999999998 in binary.
    steps = math.floor(round(group.full * ratio / group.granularity, 9) + 0.5)
    return min(max(group.granularity * steps, group.minimum), group.full)


def rounded(architecture: Architecture, ratio: float) -> Configuration:
    """Every group at a width ratio, rounded."""
    return Configuration.of({group.name: round_width(group, ratio) for group in architecture.groups})


def uniform(architecture: Architecture, compression: float) -> Configuration:
    """Every group at the same width ratio ``1 - compression``.

    Raises InvalidField outside ``[0, max_compression]`` and for what is not a finite number.
    """
    expected = f"a number from 0 to {architecture.max_compression}"
    if isinstance(compression, bool) or not isinstance(compression, (int, float)):
        raise InvalidField("compression", compression, expected)
    if not 0 <= compression <= architecture.max_compression:
        raise InvalidField("compression", compression, expected)
    return rounded(architecture, 1 - compression)


def from_widths(architecture: Architecture, widths: Mapping[str, int], *, extrapolate: bool = False) -> Configuration:
    """A width for every group by name.

    ``extrapolate`` allows any positive multiple of the granularity, below the trained minimum and above the full width.
    Raises InvalidField that names the group, its value and what is allowed.
    """
    known = architecture.full_widths
    for name in widths:
        if name not in known:
            raise InvalidField(f"widths.{name}", widths[name], f"one of the channel groups {', '.join(known)}")
    return Configuration.of({group.name: _checked(group, widths, extrapolate) for group in architecture.groups})


def _checked(group: ChannelGroup, widths: Mapping[str, int], extrapolate: bool) -> int:
    step = f" in steps of {group.granularity}" if group.granularity > 1 else ""
    expected = f"an integer of at least {group.granularity}{step}" if extrapolate else f"an integer from {group.minimum} to {group.full}{step}"
    width = widths.get(group.name)
    if width is None:
        raise InvalidField(f"widths.{group.name}", None, expected)
    if isinstance(width, bool) or not isinstance(width, int) or width < 1 or width % group.granularity:
        raise InvalidField(f"widths.{group.name}", width, expected)
    if not extrapolate and not group.minimum <= width <= group.full:
        raise InvalidField(f"widths.{group.name}", width, expected)
    return width


def effective_compression(architecture: Architecture, configuration: Mapping[str, int]) -> float:
    """``1 - sum of widths / sum of full widths``: what the rounded integers come to."""
    return round(1 - sum(configuration[group.name] for group in architecture.groups) / sum(group.full for group in architecture.groups), 6)
