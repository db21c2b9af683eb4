"""When to try again what failed."""

from __future__ import annotations

from typing import Callable

FIRST_S, LONGEST_S = 1.0, 60.0


class Backoff:
    """Sizes that could not be had, each waiting twice as long after each failure, from one second to a minute by ``clock``.

    One that a service has asked to wait for longer waits that long.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures: dict[float, int] = {}
        self._not_before: dict[float, float] = {}

    def allows(self, compression: float) -> bool:
        """Whether this size may be tried now."""
        return compression not in self._not_before or self._clock() >= self._not_before[compression]

    def failed(self, compression: float, retry_after: float | None = None) -> None:
        """This size could not be had; ``retry_after`` are the seconds that the service asked for."""
        failures = self._failures[compression] = self._failures.get(compression, 0) + 1
        # 2.0 ** 1024 is no float.
        wait = min(FIRST_S * 2.0 ** min(failures - 1, 1023), LONGEST_S)
        self._not_before[compression] = self._clock() + max(wait, retry_after or 0.0)

    def clear(self) -> None:
        """Something could be had: nothing waits any longer."""
        self._failures.clear()
        self._not_before.clear()
