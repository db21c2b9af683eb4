"""The second tier: a Redis that replicas share. It makes answers faster; when it is down, slow, full or lying they are only slower.

Keys, with ``key`` the entry's cache key; the hash tag keeps an entry in one slot of a cluster:
``nm:v1:{key}:meta`` and ``nm:v1:digest:<hex>`` (JSON, see ``stored``), ``nm:v1:{key}:blob`` (the bytes), ``nm:v1:{key}:lease`` (a token).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from redis.asyncio import RedisCluster
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from neumeta_service.cache.base import Entry, Origin
from neumeta_service.cache.breaker import CircuitBreaker
from neumeta_service.cache.guard import Guard
from neumeta_service.cache.redis_leases import RedisLeases
from neumeta_service.cache.redis_url import RedisUrl
from neumeta_service.cache.stored import Records, lifetime_s
from neumeta_service.cache.timeout import within
from neumeta_service.telemetry.metrics import Metrics

Reply = TypeVar("Reply")
# Fewer than any topology's pool holds: who is one too many waits here, where the library would fail.
_MAX_OPERATIONS = 32


class RedisCache:
    """Entries in Redis, each operation within ``timeout_s``. Raises ValueError when ``url`` is none that ``RedisUrl`` knows."""

    name = "redis"

    def __init__(
        self,
        url: str,
        metrics: Metrics,
        *,
        timeout_s: float,
        ttl_s: int,
        max_value_bytes: int,
        records: Records | None = None,
        breaker: CircuitBreaker | None = None,
    ) -> None:
        self._client = RedisUrl.parse(url).connect(timeout_s=timeout_s)
        self._guard = Guard(self.name, metrics, _kind, breaker)
        self._places = asyncio.Semaphore(_MAX_OPERATIONS)
        self._timeout_s = timeout_s
        self._ttl_s = ttl_s
        self._max_value_bytes = max_value_bytes
        self._records = records or Records()
        self.leases = RedisLeases(self._client, partial(self._attempt, follows=True))

    async def get(self, origin: Origin) -> Entry | None:
        """The entry with digest and size verified; a wrong one is deleted and counted, and None."""
        keys = _keys(origin)
        reply = await self._attempt("get", lambda: self._values(keys))
        if reply is None:
            return None
        meta, blob = reply
        if meta is None or blob is None:
            self._guard.count("miss")
            return None
        entry = await asyncio.to_thread(self._records.read_entry, origin, meta, blob)
        if entry is None:
            await self._delete_wrong("entry", keys)
            return None
        self._guard.count("hit")
        return entry

    async def put(self, entry: Entry) -> None:
        """Store an entry and its origin, unless it is larger than allowed or Redis has just failed."""
        if len(entry.data) <= self._max_value_bytes:
            await self._attempt("put", lambda: self._store(entry), follows=True)

    async def discard(self, origin: Origin) -> None:
        """Delete an entry, and keep its digest's origin."""
        keys = _keys(origin)
        await self._attempt("discard", lambda: self._client.delete(*keys))

    async def find(self, digest: str) -> Origin | None:
        """The origin stored for a digest."""
        key = _digest_key(digest)
        reply = await self._attempt("find", lambda: self._values([key]))
        if reply is None or reply[0] is None:
            return None
        origin = self._records.read_origin(reply[0])
        if origin is None:
            await self._delete_wrong("origin", [key])
        return origin

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def _values(self, keys: list[str]) -> list[bytes | None]:
        """What is stored under the keys. Raises InvalidResponse when the reply is none to that question."""
        reply = await self._client.mget(keys)
        if isinstance(reply, list):
            values = [value for value in reply if value is None or isinstance(value, bytes)]
            if len(values) == len(reply) == len(keys):
                return values
        # Replies and questions may be out of step, and would stay so.
        if isinstance(self._client, RedisCluster):
            await self._client.aclose()  # It connects anew when it is used again.
        else:
            await self._client.connection_pool.disconnect(inuse_connections=False)
        raise InvalidResponse("a reply to MGET that is no list of so many strings")

    async def _store(self, entry: Entry) -> list[Any]:
        meta_key, blob_key = _keys(entry.origin)
        ttl_s = lifetime_s(self._ttl_s)
        async with self._client.pipeline(transaction=False) as pipe:
            pipe.set(meta_key, self._records.meta(entry), ex=ttl_s)
            pipe.set(blob_key, entry.data, ex=ttl_s)
            pipe.set(_digest_key(entry.digest), self._records.origin(entry.origin), ex=ttl_s)
            return await pipe.execute()

    async def _attempt(self, name: str, operation: Callable[[], Awaitable[Reply]], *, follows: bool = False) -> Reply | None:
        """The reply, or None when there is none in time, when the operation failed, or when the breaker is open."""

        async def in_its_place() -> Reply:
            async with self._places:
                return await operation()

        return await self._guard.attempt(name, lambda: within(self._timeout_s, in_its_place), follows=follows)

    async def _delete_wrong(self, what: str, keys: list[str]) -> None:
        self._guard.corrupt(what)
        await self._attempt("delete", lambda: self._client.delete(*keys))


def _keys(origin: Origin) -> list[str]:
    return [f"nm:v1:{{{origin.key}}}:meta", f"nm:v1:{{{origin.key}}}:blob"]


def _digest_key(digest: str) -> str:
    return f"nm:v1:digest:{digest.removeprefix('sha256:')}"


def _kind(error: Exception) -> str:
    if isinstance(error, (TimeoutError, RedisTimeoutError)):
        return "timeout"
    if isinstance(error, (OSError, RedisConnectionError)):
        return "connection"
    return "response" if isinstance(error, ResponseError) else "protocol"
