"""Which size comes next, from observations alone: no clock, no thread."""

from __future__ import annotations

from collections.abc import Iterable

from neumeta_client._errors import InvalidRequest
from neumeta_client._morphing.pressure import Advice

LONGEST_WAIT = 64
"""The most that a larger size is waited for, in units of ``settle``."""


class Ladder:
    """Compressions that a network moves over, one rung at a time and never before ``settle`` calls at a size. Raises InvalidRequest.

    The way down is quick. The way up takes as many calm calls (no other advice than GROW) as the next rung waits for: ``settle`` at first,
    twice as many whenever a climb to it was soon taken back (latency alone cannot foretell that, and it would be tried again
    and again), and ``settle`` once more after a climb that lasted.
    """

    def __init__(self, compressions: Iterable[float], *, settle: int) -> None:
        self.compressions = tuple(sorted(set(compressions)))
        self.settle = settle
        if not self.compressions or settle < 1:
            raise InvalidRequest(f"ladder: {self.compressions} with settle={settle} is not allowed; expected compressions, and at least 1 call.")
        self._waits = dict.fromkeys(self.compressions, settle)
        self._climbed_to: float | None = None

    def next(self, compression: float, *, calls: int, calm: int, advice: Advice) -> float:
        """The compression that should be next, after so many calls at ``compression`` (which need not be a rung); often that same one.

        ``calm`` is how many of them came after the last advice that was not GROW.
        """
        if calls < self.settle or advice is Advice.HOLD:
            return compression
        return self._smaller(compression, calls) if advice is Advice.SHRINK else self._larger(compression, calm)

    def _smaller(self, compression: float, calls: int) -> float:
        if compression == self._climbed_to:
            wait = self._waits[compression]
            self._waits[compression] = self.settle if calls >= 2 * wait else min(2 * wait, LONGEST_WAIT * self.settle)
            self._climbed_to = None
        return min((rung for rung in self.compressions if rung > compression), default=compression)

    def _larger(self, compression: float, calm: int) -> float:
        larger = max((rung for rung in self.compressions if rung < compression), default=None)
        if larger is None or calm < self._waits[larger]:
            return compression
        self._climbed_to = larger
        return larger
