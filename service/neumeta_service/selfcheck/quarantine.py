"""Artifacts that failed their self-check are not delivered again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from cachetools import LRUCache
from neumeta_core.manifold import Manifold

from neumeta_service.cache import Cache, Entry
from neumeta_service.errors import SelfCheckFailed
from neumeta_service.flight import SingleFlight
from neumeta_service.selfcheck.inspector import Inspector

logger = logging.getLogger(__name__)
# A check takes longer than most builds: those that cannot keep up are left out, not queued without end.
_MAX_WAITING = 16
_MAX_BLOCKED = 4096


class Quarantine:
    """Checks artifacts outside the request's path; what fails is deleted from the caches and blocked in this process.

    Without an inspector nothing is checked. ``look_up`` finds the manifold of a digest that is served.
    """

    def __init__(self, inspector: Inspector | None, look_up: Callable[[str], Manifold | None], caches: Sequence[Cache]) -> None:
        self._inspector = inspector
        self._look_up = look_up
        self._caches = caches
        self._checks: SingleFlight[str | None] = SingleFlight()
        self._blocked: LRUCache[str, str] = LRUCache(_MAX_BLOCKED)

    def refuse_blocked(self, name: str) -> None:
        """SelfCheckFailed when the artifact with this cache key or digest is blocked."""
        if name in self._blocked:
            raise SelfCheckFailed(self._blocked[name])

    def sample(self, entry: Entry) -> None:
        """Check a built artifact in the background, if it is one of the sampled share."""
        if self._inspector is None or not self._inspector.samples(entry.origin.key):
            return
        if len(self._checks) < _MAX_WAITING:
            self._checks.begin(entry.origin.key, lambda: self._check(entry))
        else:
            self._inspector.skip()

    async def verify(self, entry: Entry) -> None:
        """Check an artifact now, and wait for it. Raises SelfCheckFailed."""
        if await self._checks.run(entry.origin.key, lambda: self._check(entry)) is not None:
            self.refuse_blocked(entry.origin.key)

    async def aclose(self) -> None:
        """Finish the checks that are under way, then release the inspector."""
        await self._checks.drain()
        if self._inspector is not None:
            self._inspector.close()

    async def _check(self, entry: Entry) -> str | None:
        """What is wrong, after everything was done about it."""
        spec = entry.origin.spec
        if self._inspector is None:
            return None
        manifold = self._look_up(spec.manifold)
        if manifold is None:  # It is no longer served, so nobody will ask again.
            return None
        fault = await self._inspector.fault_of(entry.data, manifold, spec)
        if fault is not None:
            logger.error("%s of %s failed its self-check and is blocked: %s", entry.digest, spec, fault)
            where = f"{spec.model} version {spec.version} in {spec.precision}"
            sentence = f"This artifact of {where} failed its self-check: {fault}. Ask for another size or precision."
            self._blocked[entry.origin.key] = self._blocked[entry.digest] = sentence
            for cache in self._caches:
                await cache.discard(entry.origin)
        return fault
