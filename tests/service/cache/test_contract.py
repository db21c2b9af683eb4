"""What every tier does, whatever it is made of; and what the tiers that replicas share do besides."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from neumeta_service.cache import Cache, MemoryCache
from neumeta_service.cache.lease import Claim, Leases
from neumeta_service.cache.stored import Records
from neumeta_service.telemetry.metrics import Metrics

from tests.service.cache.backends import TTL_S, Shared, SharedFolder, SharedRedis
from tests.service.cache.entries import entry

pytestmark = pytest.mark.anyio
LIMIT = 100_000
SECRET = b"0123456789abcdef0123456789abcdef"


@pytest.fixture(params=["disk", "redis"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Shared:
    return SharedFolder(tmp_path / "cache") if request.param == "disk" else SharedRedis(request.getfixturevalue("redis_server"))


@pytest.fixture
async def cache(shared: Shared) -> AsyncIterator[Cache]:
    cache = shared.open(limit=LIMIT)
    yield cache
    await cache.aclose()


@pytest.fixture(params=["memory", "disk", "redis"])
async def keeper(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Cache, Metrics]]:
    """Every tier that keeps anything, and its metrics."""
    if request.param == "memory":
        metrics = Metrics()
        cache: Cache = MemoryCache(LIMIT, metrics)
    else:
        place = SharedFolder(tmp_path / "cache") if request.param == "disk" else SharedRedis(request.getfixturevalue("redis_server"))
        metrics, cache = place.metrics, place.open(limit=LIMIT)
    assert cache.name == request.param
    yield cache, metrics
    await cache.aclose()


def looked_up(metrics: Metrics, cache: Cache, result: str) -> float:
    return metrics.registry.get_sample_value("neumeta_cache_requests_total", {"tier": cache.name, "result": result}) or 0


def corrupt(metrics: Metrics) -> float:
    return metrics.registry.get_sample_value("neumeta_cache_errors_total", {"kind": "corrupt"}) or 0


async def test_round_trip(keeper: tuple[Cache, Metrics]) -> None:
    cache, metrics = keeper
    assert await cache.get(entry().origin) is None
    assert await cache.find(entry().digest) is None
    await cache.put(entry())
    assert await cache.get(entry().origin) == entry()
    assert await cache.find(entry().digest) == entry().origin
    assert await cache.get(entry(1).origin) is None
    assert await cache.find(entry(1).digest) is None
    assert [looked_up(metrics, cache, result) for result in ("miss", "hit", "error", "skipped")] == [2, 1, 0, 0]


async def test_an_entry_is_discarded_and_its_origin_stays(keeper: tuple[Cache, Metrics]) -> None:
    cache, _ = keeper
    for kept in (entry(), entry(1)):
        await cache.put(kept)
    await cache.discard(entry().origin)
    await cache.discard(entry(2).origin)
    assert await cache.get(entry().origin) is None
    assert await cache.find(entry().digest) == entry().origin
    assert await cache.get(entry(1).origin) == entry(1)


async def test_the_last_one_stored_counts(keeper: tuple[Cache, Metrics]) -> None:
    cache, _ = keeper
    newer = replace(entry(1), origin=entry().origin)
    for stored in (entry(), newer, newer):
        await cache.put(stored)
    assert await cache.get(entry().origin) == newer


async def test_equal_bytes_under_two_keys(keeper: tuple[Cache, Metrics]) -> None:
    cache, _ = keeper
    twin = replace(entry(), origin=entry(1).origin)
    await cache.put(entry())
    await cache.put(twin)
    assert await cache.get(entry().origin) == entry()
    assert await cache.get(twin.origin) == twin
    assert await cache.find(twin.digest) == twin.origin


async def test_what_is_too_large_is_not_kept_and_displaces_nothing(keeper: tuple[Cache, Metrics]) -> None:
    cache, metrics = keeper
    largest, larger = entry(1, size=LIMIT - 1000), entry(2, size=LIMIT + 1)
    for each in (entry(0), largest, larger):
        await cache.put(each)
    assert [await cache.get(each.origin) for each in (entry(0), largest, larger)] == [entry(0), largest, None]
    assert looked_up(metrics, cache, "error") == 0


async def test_empty_bytes_and_many_at_once(keeper: tuple[Cache, Metrics]) -> None:
    cache, _ = keeper
    entries = [entry(number, size=500 * number) for number in range(10)]
    await asyncio.gather(*(cache.put(each) for each in entries))
    found = await asyncio.gather(*(cache.get(each.origin) for each in entries * 10))
    assert found == entries * 10


async def test_seen_by_another_instance_and_after_a_restart(shared: Shared, cache: Cache) -> None:
    other = shared.open()
    await cache.put(entry(0))
    await other.put(entry(1))
    assert [await other.get(entry(number).origin) for number in (0, 1)] == [entry(0), entry(1)]
    assert [await cache.get(entry(number).origin) for number in (0, 1)] == [entry(0), entry(1)]
    await other.aclose()
    later = shared.open()
    assert await later.get(entry(1).origin) == entry(1)
    assert await later.find(entry(1).digest) == entry(1).origin
    await later.aclose()


@pytest.mark.parametrize(
    "data", [entry().data[:-1], entry().data + b"x", entry().data[:-1] + b"x", entry(1).data, b"x"], ids=["cut", "longer", "flipped", "other", "x"]
)
async def test_wrong_bytes_are_deleted_and_counted(shared: Shared, cache: Cache, data: bytes) -> None:
    await cache.put(entry())
    shared.overwrite_blob(entry(), data)
    assert await cache.get(entry().origin) is None
    assert not shared.holds(entry())
    assert (corrupt(shared.metrics), looked_up(shared.metrics, cache, "error"), looked_up(shared.metrics, cache, "miss")) == (1, 1, 0)
    await cache.put(entry())
    assert await cache.get(entry().origin) == entry()


@pytest.mark.parametrize(
    "meta",
    [
        "rubbish",
        "{}",
        json.dumps({"key": entry(1).origin.key, "digest": entry().digest, "size": 1000, "filename": "tiny-0.onnx"}),
        json.dumps({"key": entry().origin.key, "digest": entry(1).digest, "size": 1000, "filename": "tiny-0.onnx"}),
        json.dumps({"key": entry().origin.key, "digest": entry().digest, "size": 999, "filename": "tiny-0.onnx"}),
        json.dumps({"key": entry().origin.key, "digest": entry().digest, "size": 1000, "filename": "a\r\nset-cookie: x"}),
    ],
    ids=["rubbish", "empty", "key", "digest", "size", "filename"],
)
async def test_wrong_facts_are_deleted_and_counted(shared: Shared, cache: Cache, meta: str) -> None:
    await cache.put(entry())
    shared.overwrite_meta(entry(), meta)
    assert await cache.get(entry().origin) is None
    assert corrupt(shared.metrics) == 1
    assert await cache.get(entry().origin) is None
    assert (corrupt(shared.metrics), looked_up(shared.metrics, cache, "miss")) == (1, 1), "it is gone"


@pytest.mark.parametrize("origin", ["rubbish", "{}", '{"key":"x","spec":{}}'])
async def test_a_wrong_origin_is_deleted_and_counted(shared: Shared, cache: Cache, origin: str) -> None:
    await cache.put(entry())
    shared.overwrite_origin(entry(), origin)
    assert await cache.find(entry().digest) is None
    assert await cache.find(entry().digest) is None
    assert corrupt(shared.metrics) == 1
    assert await cache.get(entry().origin) == entry()


async def test_with_one_secret_caches_believe_each_other_and_without_any_all(shared: Shared) -> None:
    writer, reader, trusting = (shared.open(records=Records(secret)) for secret in (SECRET, SECRET, None))
    await writer.put(entry())
    for cache in (reader, trusting):
        assert await cache.get(entry().origin) == entry()
        assert await cache.find(entry().digest) == entry().origin
    for cache in (writer, reader, trusting):
        await cache.aclose()


@pytest.mark.parametrize("secret", [None, SECRET[::-1]], ids=["none", "another"])
async def test_what_was_written_without_the_secret_is_deleted_and_counted(shared: Shared, secret: bytes | None) -> None:
    cache, foreign = shared.open(records=Records(SECRET)), shared.open(records=Records(secret))
    for made_up in (replace(entry(1), origin=entry().origin), entry(2)):
        await foreign.put(made_up)
    assert await cache.get(entry().origin) is None
    assert not shared.holds(entry(1))
    assert await cache.find(entry(2).digest) is None
    assert await foreign.find(entry(2).digest) is None, "it is gone"
    assert corrupt(shared.metrics) == 2
    await cache.put(entry())
    assert await cache.get(entry().origin) == entry()
    for each in (cache, foreign):
        await each.aclose()


@pytest.mark.parametrize("changes", [{"filename": "tiny-1.onnx"}, {"key": entry(1).origin.key}, {"digest": entry(1).digest}, {"seal": "0" * 64}])
def test_nothing_that_was_sealed_can_be_changed(changes: dict[str, str]) -> None:
    meta = json.dumps(json.loads(Records(SECRET).meta(entry())) | changes)
    origin, data = entry(int("key" in changes)).origin, entry(int("digest" in changes)).data
    assert Records().read_entry(origin, meta, data) is not None, "it is consistent"
    assert Records(SECRET).read_entry(origin, meta, data) is None


def test_the_secret_is_not_shown() -> None:
    assert SECRET.decode() not in repr(Records(SECRET))


def test_a_seal_is_for_one_spec_under_one_key() -> None:
    sealed = [json.loads(Records(SECRET).origin(entry(number).origin)) for number in (0, 1)]
    assert Records(SECRET).read_origin(json.dumps(sealed[0])) == entry().origin
    for name in ("key", "spec"):
        changed = json.dumps(sealed[0] | {name: sealed[1][name]})
        assert Records().read_origin(changed) is not None
        assert Records(SECRET).read_origin(changed) is None


async def test_half_an_entry_is_a_miss(shared: Shared, cache: Cache) -> None:
    await cache.put(entry())
    shared.remove_blob(entry())
    assert await cache.get(entry().origin) is None
    assert (looked_up(shared.metrics, cache, "miss"), corrupt(shared.metrics)) == (1, 0)
    await cache.put(entry())
    assert await cache.get(entry().origin) == entry()


async def test_lifetimes_have_jitter(shared: Shared, cache: Cache) -> None:
    for number in range(20):
        await cache.put(entry(number))
    lifetimes_s = shared.lifetimes_s()
    assert len({round(each) for each in lifetimes_s}) > 3
    assert all(0.9 * TTL_S - 60 < each <= 1.1 * TTL_S for each in lifetimes_s)


async def test_what_has_expired_is_a_miss(shared: Shared, cache: Cache) -> None:
    await cache.put(entry())
    shared.let_all_expire()
    assert await cache.get(entry().origin) is None
    assert await cache.find(entry().digest) is None
    assert looked_up(shared.metrics, cache, "miss") == 1
    await cache.put(entry(1))
    assert not shared.holds(entry())


@pytest.fixture
def leases(cache: Cache) -> Leases:
    assert cache.leases is not None
    return cache.leases


KEY = entry().origin.key


async def test_a_lease_has_one_holder(leases: Leases) -> None:
    assert await leases.claim(KEY, "one", 1000) is Claim.OURS
    assert await leases.claim(KEY, "two", 1000) is Claim.THEIRS
    assert await leases.claim(entry(1).origin.key, "two", 1000) is Claim.OURS


async def test_of_many_at_once_one_gets_it(shared: Shared, leases: Leases) -> None:
    other = shared.open()
    assert other.leases is not None
    claims = await asyncio.gather(*(holder.claim(KEY, f"{number}", 1000) for number in range(20) for holder in (leases, other.leases)))
    assert sorted(claim.value for claim in claims) == ["ours"] + ["theirs"] * 39
    await other.aclose()


async def test_a_released_lease_is_free(leases: Leases) -> None:
    await leases.claim(KEY, "one", 1000)
    await leases.release(KEY, "two")
    assert await leases.claim(KEY, "two", 1000) is Claim.THEIRS, "only its holder gives it up"
    await leases.release(KEY, "one")
    assert await leases.claim(KEY, "two", 1000) is Claim.OURS


async def test_a_lease_expires_and_its_old_holder_loses_it(shared: Shared, leases: Leases) -> None:
    await leases.claim(KEY, "one", 1000)
    shared.let_all_expire()
    assert await leases.claim(KEY, "two", 1000) is Claim.OURS
    assert await leases.renew(KEY, "one", 1000) is False
    await leases.release(KEY, "one")
    assert await leases.claim(KEY, "three", 1000) is Claim.THEIRS
    assert await leases.renew(KEY, "two", 1000) is True


async def test_a_renewal_gives_time(shared: Shared, leases: Leases) -> None:
    await leases.claim(KEY, "one", 1000)
    assert 900 < shared.lease_s(entry()) <= 1000
    assert await leases.renew(KEY, "two", 5000) is False
    assert shared.lease_s(entry()) <= 1000
    assert await leases.renew(KEY, "one", 5000) is True
    assert 4900 < shared.lease_s(entry()) <= 5000


async def test_what_is_stored_needs_no_lease(shared: Shared, cache: Cache, leases: Leases) -> None:
    await cache.put(entry())
    assert await leases.claim(KEY, "one", 1000) is Claim.STORED
    shared.let_all_expire()
    assert await leases.claim(KEY, "one", 1000) is Claim.OURS
