"""Rate limits: whose requests they count, and that they never stand in the way when counting fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from tests.service.access.tokens import AUDIENCE, ISSUER, IdentityProvider, add_key, bearer
from tests.service.redis_server import RedisServer
from tests.service.serving import in_process, live, tiny_app
from tests.service.test_problems import problem

pytestmark = pytest.mark.anyio


def counted(app: FastAPI, result: str) -> float:
    return app.state.engine.metrics.registry.get_sample_value("neumeta_rate_limit_total", {"result": result}) or 0.0


async def statuses(client: httpx.AsyncClient, times: int, headers: dict[str, str] | None = None) -> list[int]:
    return [(await client.get("/v1/models", headers=headers)).status_code for _ in range(times)]


async def test_beyond_the_rate_is_429_with_the_seconds_to_wait(models: Path) -> None:
    app = tiny_app(models, rate_limit="2/day")
    async with in_process(app) as client:
        assert await statuses(client, 2) == [200, 200]
        answer = await client.get("/v1/models")
        problem(answer, 429, "rate_limited")
        assert 86_000 < int(answer.headers["retry-after"]) <= 86_400
        assert (await client.get("/readyz")).status_code == 200
    assert (counted(app, "allowed"), counted(app, "limited")) == (2, 1)


async def test_each_key_has_its_own_count_and_may_have_its_own_rate(models: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    one, two, slow = add_key(file), add_key(file), add_key(file, rate="1/day")
    async with in_process(tiny_app(models, api_keys_file=file, rate_limit="2/day")) as client:
        for token, expected in ((one, [200, 200, 429]), (two, [200, 200, 429]), (slow, [200, 429])):
            assert await statuses(client, len(expected), bearer(token)) == expected
        assert await statuses(client, 5) == [401] * 5, "who is not let in uses up nobody's rate"
    async with in_process(tiny_app(models, api_keys_file=file)) as client:
        assert await statuses(client, 3, bearer(one)) == [200] * 3
        assert await statuses(client, 2, bearer(slow)) == [200, 429]


async def test_each_subject_has_its_own_count(models: Path, tmp_path: Path) -> None:
    provider = IdentityProvider()
    file = provider.publish(tmp_path / "jwks.json")
    async with in_process(tiny_app(models, jwt_keys_file=file, jwt_issuer=ISSUER, jwt_audience=AUDIENCE, rate_limit="1/day")) as client:
        assert await statuses(client, 2, bearer(provider.token(sub="a"))) == [200, 429]
        assert await statuses(client, 1, bearer(provider.token(sub="a", nonce=1))) == [429]
        assert await statuses(client, 1, bearer(provider.token(sub="b"))) == [200]


def from_address(address: str, app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, client=(address, 1)), base_url="http://test")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
    ],
)
async def test_without_keys_an_address_is_counted(models: Path, one: str, other: str, same: bool) -> None:
    app = tiny_app(models, rate_limit="1/day")
    async with app.router.lifespan_context(app), from_address(one, app) as first, from_address(other, app) as second:
        assert await statuses(first, 1) == [200]
        assert await statuses(second, 1) == [429 if same else 200]


async def test_off_means_that_nothing_is_counted(models: Path, redis_server: RedisServer) -> None:
    app = tiny_app(models, redis_url=redis_server.url)
    async with in_process(app) as client:
        assert await statuses(client, 3) == [200] * 3
    assert counted(app, "allowed") == 0
    with redis_server.connect() as redis:
        assert list(redis.scan_iter()) == []


async def test_replicas_count_together(models: Path, redis_server: RedisServer) -> None:
    options: dict[str, Any] = {"redis_url": redis_server.url, "rate_limit": "3/day"}
    async with in_process(tiny_app(models, **options)) as one, in_process(tiny_app(models, **options)) as two:
        assert await statuses(one, 2) + await statuses(two, 2) == [200, 200, 200, 429]
        assert 86_000 < int((await one.get("/v1/models")).headers["retry-after"]) <= 86_400
    with redis_server.connect() as redis:
        [key] = redis.scan_iter()
        assert key.startswith(b"nm:limit")
        assert 86_000 < redis.ttl(key) <= 86_400


async def test_requests_are_let_through_while_redis_is_down(models: Path, redis_server: RedisServer) -> None:
    app = tiny_app(models, redis_url=redis_server.url, rate_limit="1/day")
    async with in_process(app) as client:
        assert await statuses(client, 2) == [200, 429]
        redis_server.kill()
        assert await statuses(client, 7) == [200] * 7
    assert (counted(app, "error"), counted(app, "skipped")) == (5, 2), "after five failures it is left alone for a while"


async def test_a_redis_that_hangs_is_given_up_on(models: Path, redis_server: RedisServer) -> None:
    app = tiny_app(models, redis_url=redis_server.url, rate_limit="1/day", redis_timeout_s=0.05)
    redis_server.pause()
    async with in_process(app) as client:
        assert await statuses(client, 1) == [200]
    assert counted(app, "error") == 1
    redis_server.resume()


@pytest.mark.parametrize(("trusted", "expected"), [(None, [200, 429]), ("127.0.0.1", [200, 200]), ("192.0.2.0/24", [200, 429])])
def test_only_a_trusted_proxy_says_whose_request_it_is(models: Path, trusted: str | None, expected: list[int]) -> None:
    with (
        live(tiny_app(models, rate_limit="1/day"), proxy_headers=trusted is not None, forwarded_allow_ips=trusted) as base,
        httpx.Client(base_url=base, timeout=60) as client,
    ):
        assert [client.get("/v1/models", headers={"x-forwarded-for": f"198.51.100.{number}"}).status_code for number in range(2)] == expected
