"""The first tier: least recently used entries of this process, bounded in bytes."""

from __future__ import annotations

from cachetools import LRUCache

from neumeta_service.cache.base import Entry, Origin
from neumeta_service.telemetry.metrics import Metrics

# About 10 MB when full: an origin is a few hundred bytes.
_MAX_ORIGINS = 16_384


class MemoryCache:
    """Entries of at most ``max_bytes`` together; the origins of evicted ones are kept longer."""

    name = "memory"
    leases = None

    def __init__(self, max_bytes: int, metrics: Metrics) -> None:
        self._entries: LRUCache[str, Entry] = LRUCache(max_bytes, getsizeof=lambda entry: len(entry.data))
        self._origins: LRUCache[str, Origin] = LRUCache(_MAX_ORIGINS)
        self._hits = metrics.cache_requests.labels(self.name, "hit")
        self._misses = metrics.cache_requests.labels(self.name, "miss")

    async def get(self, origin: Origin) -> Entry | None:
        """The entry, or None."""
        entry: Entry | None = self._entries.get(origin.key)
        (self._misses if entry is None else self._hits).inc()
        return entry

    async def put(self, entry: Entry) -> None:
        """Keep an entry, unless it alone is larger than the cache."""
        self._origins[entry.digest] = entry.origin
        if len(entry.data) <= self._entries.maxsize:
            self._entries[entry.origin.key] = entry

    async def discard(self, origin: Origin) -> None:
        """Forget an entry, and keep its digest's origin."""
        self._entries.pop(origin.key, None)

    async def find(self, digest: str) -> Origin | None:
        """The origin, or None."""
        origin: Origin | None = self._origins.get(digest)
        return origin

    async def aclose(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._origins.clear()
