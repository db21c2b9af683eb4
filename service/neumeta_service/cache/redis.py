"""The second tier: a Redis that replicas share. It makes answers faster; when it is down, slow, full or lying they are only slower.

Keys, with ``key`` the entry's cache key; the hash tag keeps an entry in one slot of a cluster:
``nm:v1:{key}:meta`` (JSON of ``_Meta``), ``nm:v1:{key}:blob`` (the bytes), ``nm:v1:digest:<hex>`` (JSON of ``_Source``).
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from neumeta_core.configuration import Configuration
from neumeta_core.spec import Spec
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from neumeta_service.cache.base import Entry, Origin
from neumeta_service.cache.breaker import CircuitBreaker
from neumeta_service.metrics import Metrics

logger = logging.getLogger(__name__)
Reply = TypeVar("Reply")
_HEX = "[0-9a-f]{64}"


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    key: str = Field(pattern=f"^{_HEX}$")


class _Meta(_Stored):
    """Stands beside a blob. The key is repeated so that a reply that belongs to another request is noticed."""

    digest: str = Field(pattern=f"^sha256:{_HEX}$")
    size: int
    # It goes into a header, so nothing but plain characters.
    filename: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,199}$")


class _SpecFields(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    model: str
    version: int
    manifold: str
    widths: dict[str, int]
    precision: str
    opset: int


class _Source(_Stored):
    """What a digest was made from."""

    spec: _SpecFields


class RedisCache:
    """Entries in Redis, each operation within ``timeout_s``."""

    name = "redis"

    def __init__(
        self, url: str, metrics: Metrics, *, timeout_s: float, ttl_s: int, max_value_bytes: int, breaker: CircuitBreaker | None = None
    ) -> None:
        # The library's own retries and timeouts can hold a request for a minute; a cache has to fail at once.
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=32,
            timeout=timeout_s,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        self._client: Redis = Redis.from_pool(pool)
        self._metrics = metrics
        self._timeout_s = timeout_s
        self._ttl_s = ttl_s
        self._max_value_bytes = max_value_bytes
        self._breaker = breaker or CircuitBreaker()

    async def get(self, origin: Origin) -> Entry | None:
        """The entry with digest and size verified; a wrong one is deleted and counted, and None."""
        keys = _keys(origin)
        reply = await self._attempt("get", lambda: self._client.mget(keys))
        if reply is None:
            return None
        meta, blob = reply
        if meta is None or blob is None:
            self._count("miss")
            return None
        entry = await asyncio.to_thread(_verified, origin, meta, blob)
        if entry is None:
            await self._discard("entry", keys)
            return None
        self._count("hit")
        return entry

    async def put(self, entry: Entry) -> None:
        """Store an entry and its origin, unless it is larger than allowed."""
        if len(entry.data) <= self._max_value_bytes:
            await self._attempt("put", lambda: self._store(entry))

    async def find(self, digest: str) -> Origin | None:
        """The origin stored for a digest."""
        key = _digest_key(digest)
        reply = await self._attempt("find", lambda: self._client.mget([key]))
        if reply is None or reply[0] is None:
            return None
        try:
            return _origin(reply[0])
        except ValidationError:
            await self._discard("origin", [key])
            return None

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def _store(self, entry: Entry) -> list[Any]:
        meta = _Meta(key=entry.origin.key, digest=entry.digest, size=len(entry.data), filename=entry.filename)
        source = _Source(key=entry.origin.key, spec=_SpecFields.model_validate(entry.origin.spec.as_dict()))
        meta_key, blob_key = _keys(entry.origin)
        # Jitter, so that what was stored together does not expire together.
        ttl_s = max(1, round(self._ttl_s * random.uniform(0.9, 1.1)))
        async with self._client.pipeline(transaction=False) as pipe:
            pipe.set(meta_key, meta.model_dump_json(), ex=ttl_s)
            pipe.set(blob_key, entry.data, ex=ttl_s)
            pipe.set(_digest_key(entry.digest), source.model_dump_json(), ex=ttl_s)
            return await pipe.execute()

    async def _attempt(self, name: str, operation: Callable[[], Awaitable[Reply]]) -> Reply | None:
        """The reply, or None when the operation failed or the breaker is open."""
        if not self._breaker.allows():
            self._count("skipped")
            return None
        try:
            async with asyncio.timeout(self._timeout_s):
                reply = await operation()
        except Exception as error:  # What answers may be no Redis at all, and then the library raises anything.
            self._failed(name, error)
            return None
        self._breaker.succeeded()
        return reply

    def _failed(self, name: str, error: Exception) -> None:
        self._breaker.failed()
        self._count("error")
        self._metrics.cache_errors.labels(_kind(error)).inc()
        rest = f"; it is left alone for {self._breaker.cooldown_s:g} s" if self._breaker.is_open else ""
        logger.warning("Redis failed in %s: %r%s", name, error, rest)

    async def _discard(self, what: str, keys: list[str]) -> None:
        self._count("error")
        self._metrics.cache_errors.labels("corrupt").inc()
        logger.warning("Redis held a wrong %s; it is deleted", what)
        await self._attempt("delete", lambda: self._client.delete(*keys))

    def _count(self, result: str) -> None:
        self._metrics.cache_requests.labels(self.name, result).inc()


def _keys(origin: Origin) -> list[str]:
    return [f"nm:v1:{{{origin.key}}}:meta", f"nm:v1:{{{origin.key}}}:blob"]


def _digest_key(digest: str) -> str:
    return f"nm:v1:digest:{digest.removeprefix('sha256:')}"


def _verified(origin: Origin, meta: bytes | str, blob: bytes | str) -> Entry | None:
    assert isinstance(blob, bytes)  # decode_responses is off
    try:
        facts = _Meta.model_validate_json(meta)
    except ValidationError:
        return None
    whole = facts.key == origin.key and facts.size == len(blob) and facts.digest == f"sha256:{hashlib.sha256(blob).hexdigest()}"
    return Entry(origin, facts.digest, facts.filename, blob) if whole else None


def _origin(stored: bytes | str) -> Origin:
    source = _Source.model_validate_json(stored)
    fields = source.spec.model_dump()
    return Origin(source.key, Spec(**fields | {"widths": Configuration(tuple(source.spec.widths.items()))}))


def _kind(error: Exception) -> str:
    if isinstance(error, (TimeoutError, RedisTimeoutError)):
        return "timeout"
    if isinstance(error, (OSError, RedisConnectionError)):
        return "connection"
    return "response" if isinstance(error, ResponseError) else "protocol"
