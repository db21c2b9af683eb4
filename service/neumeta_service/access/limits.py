"""How often each caller may ask."""

from __future__ import annotations

import asyncio
import logging
import math
import time

from limits import RateLimitItem
from limits.aio.storage import MemoryStorage, RedisStorage, Storage
from limits.aio.strategies import FixedWindowRateLimiter
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from neumeta_service.cache.breaker import CircuitBreaker
from neumeta_service.errors import RateLimited
from neumeta_service.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)


class RateLimits:
    """Counts requests of each caller in windows that start with their first one; when counting fails, requests are let through."""

    def __init__(
        self,
        storage: Storage,
        metrics: Metrics,
        *,
        timeout_s: float,
        pool: BlockingConnectionPool | None = None,
    ) -> None:
        self._storage = storage
        self._windows = FixedWindowRateLimiter(storage)
        self._timeout_s = timeout_s
        self._pool = pool
        self._breaker = CircuitBreaker()
        self._results = {result: metrics.rate_limit.labels(result) for result in ("allowed", "limited", "error", "skipped")}

    async def check(self, identity: str, rate: RateLimitItem) -> None:
        """Count one request. Raises RateLimited when it is one too many."""
        if not self._breaker.allows():
            self._results["skipped"].inc()
            return
        try:
            async with asyncio.timeout(self._timeout_s):
                wait_s = await self._wait_s(identity, rate)
        except Exception as error:  # What answers may be no Redis at all, and then the library raises anything.
            self._breaker.failed()
            self._results["error"].inc()
            logger.warning("Redis failed in counting requests: %s; they are let through", type(error).__name__)
            return
        self._breaker.succeeded()
        self._results["limited" if wait_s else "allowed"].inc()
        if wait_s:
            raise RateLimited(str(rate), wait_s)

    async def aclose(self) -> None:
        """Close all connections."""
        if self._pool is not None:
            await self._pool.aclose()

    async def _wait_s(self, identity: str, rate: RateLimitItem) -> int:
        """Seconds until the window ends when it is full, else 0."""
        if await self._windows.hit(rate, identity):
            return 0
        return max(1, math.ceil(await self._storage.get_expiry(rate.key_for(identity)) - time.time()))


def limits_in_memory(metrics: Metrics) -> RateLimits:
    """Limits of this process alone."""
    return RateLimits(MemoryStorage(), metrics, timeout_s=60)


def limits_in_redis(url: str, metrics: Metrics, *, timeout_s: float) -> RateLimits:
    """Limits that replicas share, under keys ``nm:limit:…``."""
    # As for the cache: the library's own retries and timeouts can hold a request for a minute.
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=32,
        timeout=timeout_s,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
    )
    # The pool alone knows the URL, with its password. The default implementation would be another Redis client than the service's.
    storage = RedisStorage("async+redis://", implementation="redispy", key_prefix="nm:limit", connection_pool=pool)  # type: ignore[arg-type]
    return RateLimits(storage, metrics, timeout_s=timeout_s, pool=pool)
