from __future__ import annotations

import pytest
from neumeta_service.cache import MemoryCache
from neumeta_service.telemetry.metrics import Metrics

from tests.service.cache.entries import entry

pytestmark = pytest.mark.anyio


async def test_round_trip() -> None:
    cache = MemoryCache(10_000, Metrics())
    assert await cache.get(entry().origin) is None
    assert await cache.find(entry().digest) is None
    await cache.put(entry())
    assert await cache.get(entry().origin) == entry()
    assert await cache.find(entry().digest) == entry().origin


async def test_the_least_recently_used_goes_first_and_its_origin_stays() -> None:
    cache = MemoryCache(3_000, Metrics())
    for number in range(3):
        await cache.put(entry(number))
    await cache.get(entry(0).origin)
    await cache.put(entry(3))
    assert [await cache.get(entry(number).origin) is not None for number in range(4)] == [True, False, True, True]
    assert await cache.find(entry(1).digest) == entry(1).origin


async def test_the_bound_is_in_bytes() -> None:
    cache = MemoryCache(3_000, Metrics())
    for number in range(3):
        await cache.put(entry(number))
    await cache.put(entry(9, size=2_500))
    assert [await cache.get(entry(number).origin) for number in range(3)] == [None, None, None]


async def test_what_is_larger_than_the_cache_displaces_nothing() -> None:
    cache = MemoryCache(3_000, Metrics())
    await cache.put(entry(0))
    await cache.put(entry(9, size=3_001))
    assert await cache.get(entry(0).origin) == entry(0)
    assert await cache.get(entry(9, size=3_001).origin) is None
    assert await cache.find(entry(9, size=3_001).digest) is not None


async def test_what_is_discarded_is_gone_and_its_origin_stays() -> None:
    cache = MemoryCache(3_000, Metrics())
    await cache.put(entry(0))
    await cache.put(entry(1))
    for _ in range(2):  # the second time there is nothing to discard
        await cache.discard(entry(0).origin)
        assert [await cache.get(entry(number).origin) is not None for number in range(2)] == [False, True]
    assert await cache.find(entry(0).digest) == entry(0).origin


async def test_hits_and_misses_are_counted() -> None:
    metrics = Metrics()
    cache = MemoryCache(3_000, metrics)
    await cache.get(entry().origin)
    await cache.put(entry())
    await cache.get(entry().origin)
    await cache.get(entry().origin)
    sample = metrics.registry.get_sample_value
    assert sample("neumeta_cache_requests_total", {"tier": "memory", "result": "miss"}) == 1
    assert sample("neumeta_cache_requests_total", {"tier": "memory", "result": "hit"}) == 2
