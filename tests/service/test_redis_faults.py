"""Whatever happens to Redis, a client gets the right bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.service.redis_server import RedisServer, documented_user
from tests.service.serving import POST, CountedManifold, in_process, tier, tiny_app

pytestmark = pytest.mark.anyio
HALF = {"compression": 0.5}
SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture
async def truth(models: Path) -> dict[float, bytes]:
    """What an app without Redis answers, by compression."""
    async with in_process(tiny_app(models)) as client:
        return {compression: (await client.post(POST, json={"compression": compression})).content for compression in (0, 0.25, 0.5, 0.75)}


@pytest.fixture
async def client(models: Path, redis_server: RedisServer) -> AsyncIterator[httpx.AsyncClient]:
    """An app that keeps nothing in memory, so that every answer depends on Redis."""
    async with in_process(tiny_app(models, redis_url=redis_server.url, cache_bytes=0)) as client:
        yield client


async def check(client: httpx.AsyncClient, truth: dict[float, bytes]) -> list[str]:
    """Ask for everything; where it came from."""
    answers = {compression: await client.post(POST, json={"compression": compression}) for compression in truth}
    assert {compression: (answer.status_code, answer.content) for compression, answer in answers.items()} == {
        compression: (200, data) for compression, data in truth.items()
    }
    return [tier(answer) for answer in answers.values()]


async def test_served_from_redis_when_memory_has_lost_it(client: httpx.AsyncClient, truth: dict[float, bytes]) -> None:
    assert await check(client, truth) == ["built"] * 4
    assert await check(client, truth) == ["redis"] * 4


async def test_served_from_redis_by_a_second_app(
    models: Path, manifold: CountedManifold, client: httpx.AsyncClient, truth: dict[float, bytes], redis_server: RedisServer
) -> None:
    await check(client, truth)
    async with in_process(tiny_app(models, manifold, redis_url=redis_server.url)) as second:
        assert await check(second, truth) == ["redis"] * 4
        assert await check(second, truth) == ["memory"] * 4
        assert manifold.builds == 0


async def test_killed_and_restarted(client: httpx.AsyncClient, truth: dict[float, bytes], redis_server: RedisServer) -> None:
    await client.post(POST, json=HALF)
    redis_server.kill()
    assert tier(await client.post(POST, json=HALF)) == "built"
    redis_server.start()
    assert [tier(await client.post(POST, json=HALF)) for _ in range(2)] == ["built", "redis"]
    assert await check(client, truth) == ["built", "built", "redis", "built"]


async def test_down_from_the_start(models: Path, truth: dict[float, bytes], redis_server: RedisServer) -> None:
    redis_server.kill()
    async with in_process(tiny_app(models, redis_url=redis_server.url)) as client:
        assert await check(client, truth) == ["built"] * 4
        assert await check(client, truth) == ["memory"] * 4


async def test_paused_and_resumed(models: Path, truth: dict[float, bytes], redis_server: RedisServer) -> None:
    async with in_process(tiny_app(models, redis_url=redis_server.url)) as client:
        await client.post(POST, json=HALF)
    redis_server.pause()
    async with in_process(tiny_app(models, redis_url=redis_server.url, redis_timeout_s=0.1)) as client:
        assert await check(client, truth) == ["built"] * 4
        assert 'neumeta_cache_errors_total{kind="timeout"} 4.0' in (await client.get("/metrics")).text, "each request waited once"
    redis_server.resume()
    async with in_process(tiny_app(models, redis_url=redis_server.url)) as client:
        assert await check(client, truth) == ["built", "built", "redis", "built"]


async def test_full(models: Path, truth: dict[float, bytes], redis_server: RedisServer) -> None:
    redis_server.kill()
    redis_server.start("--maxmemory", "1mb", "--maxmemory-policy", "noeviction")
    with redis_server.connect() as redis:
        redis.config_set("maxmemory", 1)
    async with in_process(tiny_app(models, redis_url=redis_server.url)) as client:
        assert await check(client, truth) == ["built"] * 4
        assert await check(client, truth) == ["memory"] * 4
        metrics = (await client.get("/metrics")).text
        assert 'neumeta_cache_errors_total{kind="response"} 4.0' in metrics, "each claim; after it no put is tried"


@pytest.mark.parametrize("rubbish", [b"", b"rubbish", b'{"key": 1}', b"\x00" * 4096])
async def test_rubbish_in_every_key(client: httpx.AsyncClient, truth: dict[float, bytes], redis_server: RedisServer, rubbish: bytes) -> None:
    await check(client, truth)
    with redis_server.connect() as redis:
        for key in list(redis.scan_iter()):
            redis.set(key, rubbish)
    assert await check(client, truth) == ["built"] * 4
    assert await check(client, truth) == ["redis"] * 4
    assert 'neumeta_cache_errors_total{kind="corrupt"} 4.0' in (await client.get("/metrics")).text


async def test_the_bytes_of_another_artifact(client: httpx.AsyncClient, truth: dict[float, bytes], redis_server: RedisServer) -> None:
    await check(client, truth)
    with redis_server.connect() as redis:
        for part in ("meta", "blob"):
            keys = sorted(redis.scan_iter(f"*:{part}"))
            values = redis.mget(keys)
            redis.mset(dict(zip(keys, values[1:] + values[:1], strict=True)))
    assert await check(client, truth) == ["built"] * 4


async def test_a_wrong_origin_never_gives_other_bytes(models: Path, redis_server: RedisServer) -> None:
    async with in_process(tiny_app(models, redis_url=redis_server.url)) as client:
        made = [await client.post(POST, json={"compression": compression}) for compression in (0.25, 0.5)]
    with redis_server.connect() as redis:
        keys = [f"nm:v1:digest:{answer.headers['etag'][8:-1]}" for answer in made]
        redis.mset(dict(zip(keys, reversed(redis.mget(keys)), strict=True)))
    for answer in made:
        async with in_process(tiny_app(models, redis_url=redis_server.url)) as client:
            gone = await client.get(answer.headers["content-location"])
            assert (gone.status_code, gone.json()["code"]) == (404, "artifact_gone")


async def test_what_somebody_else_wrote_is_not_believed(models: Path, truth: dict[float, bytes], redis_server: RedisServer) -> None:
    """Whole entries, with a digest that is right: everything that a writer to Redis can make up."""
    url = redis_server.url
    async with in_process(tiny_app(models, redis_url=url)) as client:
        await check(client, truth)
    with redis_server.connect() as redis:
        for key in list(redis.scan_iter("*:meta")):
            meta = json.loads(redis.get(key))
            redis.set(key, json.dumps(meta | {"digest": f"sha256:{hashlib.sha256(b'forged').hexdigest()}", "size": 6}))
            redis.set(key.replace(b":meta", b":blob"), b"forged")
    async with in_process(tiny_app(models, redis_url=url, cache_secret=SECRET)) as client:
        assert await check(client, truth) == ["built"] * 4
        assert 'neumeta_cache_errors_total{kind="corrupt"} 4.0' in (await client.get("/metrics")).text
    async with in_process(tiny_app(models, redis_url=url, cache_secret=SECRET)) as client:
        assert await check(client, truth) == ["redis"] * 4


async def test_a_user_with_the_documented_rights_is_enough(models: Path, truth: dict[float, bytes], redis_server: RedisServer) -> None:
    with redis_server.connect() as redis:
        redis.execute_command(*documented_user())
    url = f"redis://neumeta:secret@127.0.0.1:{redis_server.port}/1"
    async with in_process(tiny_app(models, redis_url=url, cache_bytes=0)) as client:
        await check(client, truth)
        assert await check(client, truth) == ["redis"] * 4
        failures = [line for line in (await client.get("/metrics")).text.splitlines() if line.startswith("neumeta_cache_errors_total{")]
        assert {line.rpartition(" ")[2] for line in failures} == {"0.0"}


async def test_a_wrong_password_is_no_500(models: Path, truth: dict[float, bytes], redis_server: RedisServer) -> None:
    with redis_server.connect() as redis:
        redis.config_set("requirepass", "secret")
    async with in_process(tiny_app(models, redis_url=redis_server.url.replace("redis://", "redis://:wrong@"), cache_bytes=0)) as client:
        assert await check(client, truth) == ["built"] * 4
