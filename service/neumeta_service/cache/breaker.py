"""A circuit breaker: what fails again and again is left alone for a while."""

from __future__ import annotations

import time
from collections.abc import Callable


class CircuitBreaker:
    """Opens after ``threshold`` failures in a row; then lets one call through every ``cooldown_s`` until one succeeds."""

    def __init__(self, *, threshold: int = 5, cooldown_s: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.cooldown_s = cooldown_s
        self._threshold = threshold
        self._clock = clock
        self._failures = 0
        self._next_probe_s = 0.0

    @property
    def is_open(self) -> bool:
        """True while calls are held back."""
        return self._failures >= self._threshold

    @property
    def has_just_failed(self) -> bool:
        """True from a failure until the next success."""
        return self._failures > 0

    def allows(self) -> bool:
        """Whether a call may be made now; when open, True also claims the one probe of this cooldown."""
        if not self.is_open:
            return True
        if self._clock() < self._next_probe_s:
            return False
        self._next_probe_s = self._clock() + self.cooldown_s
        return True

    def succeeded(self) -> None:
        """Close."""
        self._failures = 0

    def failed(self) -> None:
        """Count a failure; open at the threshold."""
        self._failures += 1
        if self.is_open:
            self._next_probe_s = self._clock() + self.cooldown_s
