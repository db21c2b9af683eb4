"""The Redis tier against a real server and its faults."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio
import pytest
from neumeta_service.cache import RedisCache
from neumeta_service.cache.breaker import CircuitBreaker
from neumeta_service.cache.lease import Claim
from neumeta_service.telemetry.metrics import Metrics

from tests.service.cache.entries import entry
from tests.service.redis_server import RedisServer

pytestmark = pytest.mark.anyio


class Redis:
    """A cache and what it counted."""

    def __init__(self, cache: RedisCache, metrics: Metrics) -> None:
        self.cache = cache
        self._sample = metrics.registry.get_sample_value

    def requests(self, result: str) -> float:
        return self._sample("neumeta_cache_requests_total", {"tier": "redis", "result": result}) or 0

    def errors(self, kind: str) -> float:
        return self._sample("neumeta_cache_errors_total", {"kind": kind}) or 0


@asynccontextmanager
async def connected(url: str, *, timeout_s: float = 30, breaker: CircuitBreaker | None = None) -> AsyncIterator[Redis]:
    """A long timeout: a busy machine must not look like a dead server."""
    metrics = Metrics()
    breaker = breaker or CircuitBreaker(threshold=1000)
    cache = RedisCache(url, metrics, timeout_s=timeout_s, ttl_s=1000, max_value_bytes=1_000_000, breaker=breaker)
    try:
        yield Redis(cache, metrics)
    finally:
        await cache.aclose()


def keys(number: int = 0) -> list[str]:
    key = entry(number).origin.key
    return [f"nm:v1:{{{key}}}:meta", f"nm:v1:{{{key}}}:blob"]


async def test_round_trip(redis_server: RedisServer) -> None:
    async with connected(redis_server.url) as redis:
        assert await redis.cache.get(entry().origin) is None
        assert await redis.cache.find(entry().digest) is None
        await redis.cache.put(entry())
        assert await redis.cache.get(entry().origin) == entry()
        assert await redis.cache.find(entry().digest) == entry().origin
        assert (redis.requests("miss"), redis.requests("hit"), redis.requests("error")) == (1, 1, 0)


async def test_what_is_discarded_is_gone_and_its_origin_stays(redis_server: RedisServer) -> None:
    async with connected(redis_server.url) as redis:
        await redis.cache.put(entry(0))
        await redis.cache.put(entry(1))
        await redis.cache.discard(entry(0).origin)
        assert [await redis.cache.get(entry(number).origin) is not None for number in range(2)] == [False, True]
        assert await redis.cache.find(entry(0).digest) == entry(0).origin
        redis_server.kill()
        await redis.cache.discard(entry(1).origin)
        assert redis.errors("connection") == 1


async def test_keys_of_an_entry_share_a_hash_tag(redis_server: RedisServer) -> None:
    async with connected(redis_server.url) as redis:
        await redis.cache.put(entry())
    with redis_server.connect() as client:
        assert sorted(key.decode() for key in client.scan_iter()) == sorted([*keys(), f"nm:v1:digest:{entry().digest[7:]}"])


def _meta(**changes: object) -> bytes:
    facts = {"key": entry().origin.key, "digest": entry().digest, "size": len(entry().data), "filename": entry().filename}
    return json.dumps(facts | changes).encode()


@pytest.mark.parametrize(
    ("meta", "blob"),
    [
        (b"rubbish", entry().data),
        (b"\xff\x00", entry().data),
        (b"[]", entry().data),
        (b"{}", entry().data),
        (_meta(), entry().data[:-1]),
        (_meta(), entry().data[:-1] + b"x"),
        (_meta(), b""),
        (_meta(size=999), entry().data),
        (_meta(size="1000"), entry().data),
        (_meta(digest=f"sha256:{'0' * 64}"), entry().data),
        (_meta(digest="../../etc"), entry().data),
        (_meta(filename='a"\r\nset-cookie: x'), entry().data),
        (_meta(surplus=1), entry().data),
        # Whole and consistent, but the entry of another spec: what a reply that is off by one would bring.
        (_meta(key=entry(1).origin.key, digest=entry(1).digest, filename=entry(1).filename), entry(1).data),
    ],
)
async def test_a_wrong_entry_is_deleted_and_counted(redis_server: RedisServer, meta: bytes, blob: bytes) -> None:
    meta_key, blob_key = keys()
    with redis_server.connect() as client:
        client.mset({meta_key: meta, blob_key: blob})
        async with connected(redis_server.url) as redis:
            assert await redis.cache.get(entry().origin) is None
            assert client.exists(meta_key, blob_key) == 0
            assert (redis.errors("corrupt"), redis.requests("error"), redis.requests("miss")) == (1, 1, 0)
            await redis.cache.put(entry())
            assert await redis.cache.get(entry().origin) == entry()


@pytest.mark.parametrize("stored", [b"rubbish", b"{}", b'{"key":"x","spec":{}}', b"\xff"])
async def test_a_wrong_origin_is_deleted_and_counted(redis_server: RedisServer, stored: bytes) -> None:
    key = f"nm:v1:digest:{entry().digest[7:]}"
    with redis_server.connect() as client:
        client.set(key, stored)
        async with connected(redis_server.url) as redis:
            assert await redis.cache.find(entry().digest) is None
            assert client.exists(key) == 0
            assert redis.errors("corrupt") == 1


@pytest.mark.parametrize("gone", [0, 1])
async def test_half_an_entry_is_a_miss(redis_server: RedisServer, gone: int) -> None:
    async with connected(redis_server.url) as redis:
        await redis.cache.put(entry())
        with redis_server.connect() as client:
            client.delete(keys()[gone])
        assert await redis.cache.get(entry().origin) is None
        assert (redis.requests("miss"), redis.requests("error")) == (1, 0)


async def test_a_key_of_another_type(redis_server: RedisServer) -> None:
    with redis_server.connect() as client:
        client.lpush(keys()[1], "x")
        async with connected(redis_server.url) as redis:
            assert await redis.cache.get(entry().origin) is None
            await redis.cache.put(entry())
            assert await redis.cache.get(entry().origin) == entry()


async def test_down_is_an_error_and_no_miss(redis_server: RedisServer) -> None:
    redis_server.kill()
    async with connected(redis_server.url) as redis:
        assert await redis.cache.get(entry().origin) is None
        assert await redis.cache.find(entry().digest) is None
        assert (redis.errors("connection"), redis.requests("error"), redis.requests("miss")) == (2, 2, 0)
        await redis.cache.put(entry())
        assert redis.errors("connection") == 2, "a request would wait for it twice"


async def test_killed_between_two_calls_and_restarted(redis_server: RedisServer) -> None:
    async with connected(redis_server.url) as redis:
        await redis.cache.put(entry())
        redis_server.kill()
        assert await redis.cache.get(entry().origin) is None
        redis_server.start()
        assert await redis.cache.get(entry().origin) is None
        await redis.cache.put(entry())
        assert await redis.cache.get(entry().origin) == entry()


async def test_paused_times_out_and_works_again_afterwards(redis_server: RedisServer) -> None:
    async with connected(redis_server.url, timeout_s=3) as redis:
        await redis.cache.put(entry())
        redis_server.pause()
        assert await redis.cache.get(entry().origin) is None
        assert redis.errors("timeout") == 1
        redis_server.resume()
        assert await redis.cache.get(entry().origin) == entry()


async def test_a_cancelled_call_does_not_shift_later_replies(redis_server: RedisServer) -> None:
    async with connected(redis_server.url) as redis:
        for number in range(3):
            await redis.cache.put(entry(number))
        for _ in range(20):
            calls = [asyncio.create_task(redis.cache.get(entry(0).origin)) for _ in range(5)]
            await asyncio.sleep(0)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            assert await redis.cache.get(entry(1).origin) == entry(1)
            assert await redis.cache.get(entry(2).origin) == entry(2)


async def test_full_still_reads(redis_server: RedisServer) -> None:
    async with connected(redis_server.url) as redis:
        await redis.cache.put(entry(0))
        with redis_server.connect() as client:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", 1)
        await redis.cache.put(entry(1))
        assert redis.errors("response") == 1
        assert await redis.cache.get(entry(1).origin) is None
        assert await redis.cache.get(entry(0).origin) == entry(0)


@pytest.mark.parametrize("banner", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00\xff\x00\xff" * 100, b"*-7\r\n", b"+OK\r\n+OK\r\n+OK\r\n" * 20, b""])
async def test_what_answers_is_no_redis(banner: bytes) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(banner)
        await writer.drain()
        writer.close()

    async with (
        await asyncio.start_server(answer, "127.0.0.1", 0) as server,
        connected(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}") as redis,
    ):
        for _ in range(3):
            await redis.cache.put(entry())
            assert await redis.cache.get(entry().origin) is None
            assert await redis.cache.find(entry().digest) is None
            assert await redis.cache.leases.claim(entry().origin.key, "token", 1) is Claim.UNKNOWN
            assert await redis.cache.leases.renew(entry().origin.key, "token", 1) is True, "nobody says that it is lost"
            await redis.cache.leases.release(entry().origin.key, "token")
        assert redis.requests("hit") == redis.requests("miss") == 0


async def test_the_timeout_covers_a_whole_operation() -> None:
    """Each reply comes in time, but the handshake and the command together do not."""
    hung_up = anyio.Event()

    async def dawdle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while commands := await reader.read(4096):
                await asyncio.sleep(0.4)
                writer.write(b"*2\r\n$-1\r\n$-1\r\n" if b"MGET" in commands else b"+OK\r\n" * commands.count(b"CLIENT"))
                await writer.drain()
        writer.close()
        hung_up.set()

    with anyio.fail_after(60):
        async with await asyncio.start_server(dawdle, "127.0.0.1", 0) as server:
            url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with connected(url, timeout_s=0.6) as redis:
                assert await redis.cache.get(entry().origin) is None
                assert (redis.errors("timeout"), redis.requests("miss")) == (1, 0)
            await hung_up.wait()


async def test_the_breaker_skips_a_dead_server_and_finds_a_living_one(redis_server: RedisServer) -> None:
    now = 0.0
    redis_server.kill()
    async with connected(redis_server.url, breaker=CircuitBreaker(threshold=2, cooldown_s=5, clock=lambda: now)) as redis:
        for _ in range(5):
            await redis.cache.get(entry().origin)
        assert (redis.requests("error"), redis.requests("skipped")) == (2, 3)
        redis_server.start()
        now = 5.0
        assert await redis.cache.get(entry().origin) is None
        await redis.cache.put(entry())
        assert [await redis.cache.get(entry().origin) for _ in range(5)] == [entry()] * 5
        assert redis.requests("skipped") == 3


async def test_what_fails_is_a_look_up_only_when_it_looks_up(redis_server: RedisServer) -> None:
    redis_server.kill()
    async with connected(redis_server.url, breaker=CircuitBreaker(threshold=2, cooldown_s=5, clock=lambda: 0)) as redis:
        await redis.cache.discard(entry().origin)
        await redis.cache.put(entry())
        await redis.cache.leases.claim(entry().origin.key, "token", 1)
        await redis.cache.leases.renew(entry().origin.key, "token", 1)
        await redis.cache.leases.release(entry().origin.key, "token")
        await redis.cache.discard(entry().origin)
        await redis.cache.discard(entry().origin)
        assert redis.errors("connection") == 2
        assert (redis.requests("error"), redis.requests("skipped")) == (0, 0)
        await redis.cache.get(entry().origin)
        await redis.cache.find(entry().digest)
        assert (redis.requests("error"), redis.requests("skipped")) == (0, 2)


async def test_more_calls_than_connections(redis_server: RedisServer) -> None:
    async with connected(redis_server.url) as redis:
        await redis.cache.put(entry())
        results = await asyncio.gather(*(redis.cache.get(entry().origin) for _ in range(100)))
        assert results == [entry()] * 100
