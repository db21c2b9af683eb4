"""Artifacts by digest: rebuilt after eviction, shared by replicas. Conditional and range requests: test_blob.py."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from neumeta_service.app import create_app
from neumeta_service.cache import Entry, MemoryCache, Origin
from neumeta_service.settings import Settings
from neumeta_service.telemetry.metrics import Metrics

from tests.service.cache.entries import entry
from tests.service.redis_server import RedisServer
from tests.service.serving import JSON, POST, CountedManifold, in_process, tier, tiny_app
from tests.service.test_problems import problem

pytestmark = pytest.mark.anyio


async def test_made_again_after_eviction(models: Path, manifold: CountedManifold) -> None:
    async with in_process(tiny_app(models, manifold, cache_bytes=0)) as client:
        data = (await client.post(POST, json={"compression": 0.5})).content
        url = (await client.post(POST, json={"compression": 0.5}, headers=JSON)).json()["url"]
        builds = manifold.builds
        answer = await client.get(url, headers={"range": "bytes=100-"})
        assert (answer.status_code, answer.content, tier(answer)) == (206, data[100:], "built")
        assert manifold.builds == builds + 1


async def test_a_restart_without_redis_forgets_it(models: Path) -> None:
    async with in_process(tiny_app(models)) as client:
        url = (await client.post(POST, json={"compression": 0.5}, headers=JSON)).json()["url"]
    async with in_process(tiny_app(models)) as client:
        gone = await client.get(url)
        assert (gone.status_code, gone.json()["code"]) == (404, "artifact_gone")
        assert "POST /v1/models/" in gone.json()["detail"]
        assert (await client.post(POST, json={"compression": 0.5}, headers=JSON)).json()["url"] == url
        assert (await client.get(url)).status_code == 200


async def test_another_replica_has_it_from_redis(models: Path, manifold: CountedManifold, redis_server: RedisServer) -> None:
    async with (
        in_process(tiny_app(models, redis_url=redis_server.url)) as one,
        in_process(tiny_app(models, manifold, redis_url=redis_server.url)) as other,
    ):
        made = await one.post(POST, json={"compression": 0.5})
        answers = [await other.get(made.headers["content-location"]) for _ in range(2)]
        assert [tier(answer) for answer in answers] == ["redis", "memory"]
        assert all(answer.content == made.content for answer in answers)
        assert answers[0].headers["content-disposition"] == made.headers["content-disposition"]
        assert manifold.builds == 0


async def test_another_replica_makes_it_again_from_its_origin_in_redis(models: Path, manifold: CountedManifold, redis_server: RedisServer) -> None:
    async with in_process(tiny_app(models, redis_url=redis_server.url)) as client:
        made = await client.post(POST, json={"compression": 0.5})
    with redis_server.connect() as redis:
        redis.delete(*redis.scan_iter("*:blob"))
    async with in_process(tiny_app(models, manifold, redis_url=redis_server.url)) as client:
        answer = await client.get(made.headers["content-location"])
        assert (answer.status_code, answer.content, tier(answer)) == (200, made.content, "built")
        assert manifold.builds == 1


class Silent(MemoryCache):
    """Knows what an artifact was made from, and never gives it."""

    name = "silent"

    async def get(self, _: Origin) -> Entry | None:
        await anyio.sleep_forever()


async def test_a_deadline_holds_for_what_is_not_served_any_more(models: Path) -> None:
    withdrawn, cache = entry(), Silent(1_000_000, Metrics())
    await cache.put(withdrawn)
    async with in_process(create_app(Settings(models=models, device="cpu"), cache=cache)) as client:
        with anyio.fail_after(60):
            answer = await client.get(f"/v1/artifacts/{withdrawn.digest}", headers={"request-timeout": "0.1"})
    problem(answer, 504, "deadline_exceeded")
