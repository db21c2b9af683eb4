"""Which size to measure next, so that few measurements find the largest one that stays within the limits.

Smaller networks are faster, with one exception: kernels work on blocks of 4, 8 or 16 channels, so a network whose widths are multiples
of these is often faster than one that is a little smaller. Bisection that cuts anywhere would meet a slow size and rule out all larger
ones, fast ones among them. So the cut is made at the roundest size that is left: among sizes that are equally round the order holds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from neumeta_client._types import ChannelGroup

FEWEST_STEPS = 24


def compressions_of(groups: Sequence[ChannelGroup], max_compression: float) -> list[float]:
    """Sizes worth measuring, the largest network first: in equal steps of width, at as many of which as possible no width is rounded.

    There are between ``FEWEST_STEPS`` and twice as many: of several channels of the smallest group, of one, or of parts of one.
    """
    steps = float(min((group.full for group in groups), default=1))
    while steps * max_compression >= 2 * FEWEST_STEPS:
        steps /= 2
    while 0 < steps * max_compression < FEWEST_STEPS:
        steps *= 2
    sizes = [step / steps for step in range(math.floor(steps * max_compression) + 1)]
    return sizes if sizes[-1] == max_compression else [*sizes, max_compression]


def roundness(groups: Sequence[ChannelGroup], compression: float) -> int:
    """The largest power of two that divides the width of every group."""
    common = math.gcd(*(round(group.full * (1 - compression)) for group in groups))
    return common & -common


def ladder(groups: Sequence[ChannelGroup], max_compression: float, points: int) -> list[float]:
    """At most ``points`` sizes from the full network to the smallest, in steps as equal as round widths allow."""
    gap = max_compression / (points - 1)
    sizes = compressions_of(groups, max_compression)
    found = {0.0, max_compression}
    for step in range(1, points - 1):
        near = [size for size in sizes if abs(size - step * gap) <= gap / 2] or [step * gap]
        found.add(min(near, key=lambda size: (-roundness(groups, size), abs(size - step * gap))))
    return sorted(found)


def next_size(roundnesses: Sequence[int], loads: Mapping[int, float]) -> int | None:
    """The index to measure next, or None when the first that fits, or that none does, is known.

    ``loads`` are those measured so far, of indices that this function gave: each is what was measured as a share of what is
    allowed, so at most 1 fits.
    """
    if not loads:
        return 0
    over = max((index for index, load in loads.items() if not load <= 1), default=-1)
    within = min((index for index, load in loads.items() if load <= 1), default=len(roundnesses))
    between = range(over + 1, within)
    highest = max((roundnesses[index] for index in between), default=None)
    roundest = [index for index in between if roundnesses[index] == highest]
    return roundest[len(roundest) // 2] if roundest else None
