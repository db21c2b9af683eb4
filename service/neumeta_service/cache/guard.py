"""What all shared tiers do about failures: count them apart from misses, log them, and leave alone what fails again and again."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from neumeta_service.cache.breaker import CircuitBreaker
from neumeta_service.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)
Reply = TypeVar("Reply")
# Operations that a look-up consists of. What fails of the others is a failure of the tier, and no look-up.
_LOOK_UPS = {"get", "read", "find"}


class Guard:
    """Around the operations of one tier; ``kind_of`` names a failure for the metrics."""

    def __init__(self, tier: str, metrics: Metrics, kind_of: Callable[[Exception], str], breaker: CircuitBreaker | None = None) -> None:
        self._tier = tier
        self._metrics = metrics
        self._kind_of = kind_of
        self._breaker = breaker or CircuitBreaker()

    async def attempt(self, name: str, operation: Callable[[], Awaitable[Reply]], *, follows: bool = False) -> Reply | None:
        """The reply, or None when the operation failed or the breaker is open.

        One that ``follows`` another of the same request is left out when the tier has just failed: no request waits for that twice.
        """
        if (follows and self._breaker.has_just_failed) or not self._breaker.allows():
            self._count_if_look_up(name, "skipped")
            return None
        try:
            reply = await operation()
        except Exception as error:  # What answers may be no Redis at all, and then its library raises anything.
            self.failed(name, error)
            return None
        self._breaker.succeeded()
        return reply

    def failed(self, name: str, error: Exception) -> None:
        """Count and log a failure."""
        self._breaker.failed()
        self._count_if_look_up(name, "error")
        self._metrics.cache_errors.labels(self._kind_of(error)).inc()
        rest = f"; it is left alone for {self._breaker.cooldown_s:g} s" if self._breaker.is_open else ""
        logger.warning("%s failed in %s: %r%s", self._tier, name, error, rest)

    def count(self, result: str) -> None:
        """Count a look-up: hit, miss, error or skipped."""
        self._metrics.cache_requests.labels(self._tier, result).inc()

    def _count_if_look_up(self, name: str, result: str) -> None:
        if name in _LOOK_UPS:
            self.count(result)

    def corrupt(self, what: str) -> None:
        """Count and log a value that is not what it should be; deleting it is the caller's."""
        self.count("error")
        self._metrics.cache_errors.labels("corrupt").inc()
        logger.warning("%s held a wrong %s; it is deleted", self._tier, what)
