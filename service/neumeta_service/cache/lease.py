"""Who builds an artifact when several replicas are asked for it at once.

A lease saves work, and nothing depends on it: keys name what an artifact is made from, so two replicas that build the same do no
harm. Whatever is wrong with the cache that holds the leases, the build goes on without one.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Callable, MutableMapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from neumeta_service.flight import Dropped
from neumeta_service.telemetry.metrics import Metrics


class Claim(Enum):
    """What came of asking for a lease."""

    OURS = "ours"
    THEIRS = "theirs"
    STORED = "stored"
    """Nobody needs it any more: the entry is in the cache."""
    UNKNOWN = "unknown"
    """The cache cannot tell."""


class Leases(Protocol):
    """Leases by cache key, kept where all replicas see them. No method raises because of the cache's own troubles."""

    async def claim(self, key: str, token: str, ttl_s: float) -> Claim:
        """Take the lease for ``ttl_s`` seconds, unless another token holds it or the entry is stored, which has to be one step."""

    async def renew(self, key: str, token: str, ttl_s: float) -> bool:
        """Hold it for ``ttl_s`` seconds from now; False when this token no longer holds it."""

    async def release(self, key: str, token: str) -> None:
        """Give it up, if this token still holds it."""


@dataclass(frozen=True)
class LeaseTimes:
    """Seconds. A replica that dies is followed within ``ttl_s`` and the longest pause."""

    ttl_s: float = 1.5
    renewal_s: float = 0.5
    pauses_s: tuple[float, float] = (0.025, 0.2)
    """Shortest and longest between two looks of a replica that waits."""
    longest_s: float = 30.0
    """A build that takes longer loses its lease: a device that hangs in one replica must not hang the others."""


class LeaseHolder:
    """Takes leases and keeps them; without ``leases`` nobody shares the work and nothing is waited for."""

    def __init__(self, leases: Leases | None, metrics: Metrics, times: LeaseTimes = LeaseTimes()) -> None:
        self._leases = leases
        self._metrics = metrics
        self._times = times

    @asynccontextmanager
    async def hold(self, key: str, seconds: MutableMapping[str, float], *, is_wanted: Callable[[], bool]) -> AsyncIterator[bool]:
        """Wait until this replica is to build, or another one has: gives True when the entry is now in the cache.

        The wait is added to ``seconds["lease"]``. Raises Dropped when it has to wait for another replica and nobody wants the entry any more.
        """
        if self._leases is None:
            yield False
            return
        token = secrets.token_hex(16)
        with self._metrics.stage("lease", seconds):
            claim = await self._claim(self._leases, key, token, is_wanted)
        if claim is not Claim.OURS:
            yield claim is Claim.STORED
            return
        renewal = asyncio.create_task(self._renew(self._leases, key, token))
        try:
            yield False
        finally:
            renewal.cancel()
            with suppress(asyncio.CancelledError):
                await renewal
            await self._leases.release(key, token)

    async def _claim(self, leases: Leases, key: str, token: str, is_wanted: Callable[[], bool]) -> Claim:
        """Anything but THEIRS."""
        claim, waited = await leases.claim(key, token, self._times.ttl_s), False
        while claim is Claim.THEIRS:
            if not is_wanted():
                raise Dropped
            waited = True
            # Jitter, so that those who wait do not ask all at once.
            await asyncio.sleep(random.uniform(*self._times.pauses_s))
            claim = await leases.claim(key, token, self._times.ttl_s)
        results = {Claim.OURS: "took_over" if waited else "won", Claim.STORED: "waited", Claim.UNKNOWN: "skipped"}
        self._metrics.leases.labels(results[claim]).inc()
        return claim

    async def _renew(self, leases: Leases, key: str, token: str) -> None:
        for _ in range(round(self._times.longest_s / self._times.renewal_s)):
            await asyncio.sleep(self._times.renewal_s)
            if not await leases.renew(key, token, self._times.ttl_s):
                return
