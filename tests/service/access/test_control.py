"""Who is let through to what: over HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from neumeta_service.telemetry.log_format import JsonFormatter

from tests.service.access.tokens import AUDIENCE, ISSUER, IdentityProvider, add_key, bearer
from tests.service.serving import JSON, POST, in_process, tiny_app
from tests.service.test_problems import problem

pytestmark = pytest.mark.anyio
PROFILE = "/v1/models/tiny/profiles/pi4"
OPEN = ["/livez", "/readyz", "/docs", "/docs/start.js", "/docs/assets/swagger-ui.css", "/openapi.json"]
CLOSED = ["/v1/models", "/v1/models/tiny", "/v1/models/tiny/curve", "/metrics", "/nowhere", "/v1/models/nobody", "/livez/"]


@dataclass(frozen=True)
class Keys:
    file: Path
    tokens: dict[str, str]
    """One for each scope, and one for a device, which pulls."""


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    file = tmp_path / "keys.json"
    scopes = {scope: [scope] for scope in ("read", "materialize", "profile", "admin")} | {"device": ["read", "materialize"]}
    return Keys(file, {name: add_key(file, *of_key) for name, of_key in scopes.items()})


@pytest.fixture
async def client(models: Path, keys: Keys) -> AsyncIterator[httpx.AsyncClient]:
    async with in_process(tiny_app(models, api_keys_file=keys.file)) as client:
        yield client


async def test_without_keys_nobody_is_asked(models: Path) -> None:
    async with in_process(tiny_app(models)) as client:
        answer = await client.get("/v1/models", headers=bearer("whatever"))
        assert answer.status_code == 200
        assert "vary" not in answer.headers


async def test_without_a_token_there_is_health_and_documentation(client: httpx.AsyncClient) -> None:
    for path in OPEN:
        assert (await client.get(path)).status_code == 200, path
    for path in CLOSED:
        answer = await client.get(path)
        assert answer.status_code == 401, path
    document = problem(await client.post(POST, json={"compression": 0.5}), 401, "unauthenticated")
    assert "Authorization: Bearer" in document["detail"]


async def test_the_challenge_says_what_is_wrong(client: httpx.AsyncClient, keys: Keys) -> None:
    async def challenge(*authorizations: str) -> str:
        return (await client.get("/v1/models", headers=[("authorization", value) for value in authorizations])).headers["www-authenticate"]

    good = f"Bearer {keys.tokens['read']}"
    assert await challenge() == 'Bearer realm="neumeta"'
    assert await challenge("Basic x") == 'Bearer realm="neumeta"'
    assert await challenge("Bearer x") == 'Bearer realm="neumeta", error="invalid_token"'
    assert await challenge(good, good) == 'Bearer realm="neumeta", error="invalid_request"'


async def test_each_scope_is_for_its_requests_alone(client: httpx.AsyncClient, keys: Keys) -> None:
    digest = (await client.post(POST, json={"compression": 0.5}, headers=bearer(keys.tokens["materialize"]))).headers["content-location"]
    requests = {
        "read": [("GET", "/v1/models"), ("GET", PROFILE), ("POST", "/v1/models/tiny/plan"), ("GET", digest), ("HEAD", digest), ("GET", "/metrics")],
        "materialize": [("POST", POST), ("POST", "/v1/jobs"), ("DELETE", "/v1/models/tiny")],
        "profile": [("PUT", PROFILE), ("DELETE", PROFILE), ("POST", PROFILE)],
        "admin": [("GET", "/v1/admin"), ("POST", "/v1/admin/anything"), ("GET", "/v1/admin/anything")],
    }
    for scope in requests:
        token = keys.tokens[scope]
        for needed, calls in requests.items():
            for method, path in calls:
                answer = await client.request(method, path, headers=bearer(token))
                assert (answer.status_code == 403) == (scope != needed), (scope, method, path)
                if scope != needed:
                    assert answer.headers["www-authenticate"] == f'Bearer realm="neumeta", error="insufficient_scope", scope="{needed}"'
    problem(await client.get("/v1/models", headers=bearer(keys.tokens["admin"])), 403, "forbidden")


async def test_who_measures_needs_a_scope_of_its_own(client: httpx.AsyncClient, keys: Keys) -> None:
    points = [{"compression": compression, "latency_ms": 1} for compression in (0, 0.5)]
    measured = {"version": 1, "precision": "fp32", "metric": "p50", "runtime": "one", "threads": 1, "points": points}
    # As devices, the last two: they must not be taken for a plan, or for something below one.
    for device in ("pi4", "plan", "profiles"):
        path = f"/v1/models/tiny/profiles/{device}"
        for caller in ("device", "admin"):
            for answer in (
                await client.put(path, json=measured, headers=bearer(keys.tokens[caller])),
                await client.delete(path, headers=bearer(keys.tokens[caller])),
            ):
                assert 'scope="profile"' in answer.headers["www-authenticate"]
                problem(answer, 403, "forbidden")
        assert (await client.put(path, json=measured, headers=bearer(keys.tokens["profile"]))).status_code == 201
        assert (await client.get(path, headers=bearer(keys.tokens["device"]))).status_code == 200
        assert (await client.delete(path, headers=bearer(keys.tokens["profile"]))).status_code == 204


async def test_a_token_in_the_url_is_no_token(client: httpx.AsyncClient, keys: Keys) -> None:
    assert (await client.get("/v1/models", params={"access_token": keys.tokens["read"]})).status_code == 401


async def test_answers_are_private(models: Path, client: httpx.AsyncClient, keys: Keys) -> None:
    token = bearer(keys.tokens["device"])
    made = await client.post(POST, json={"compression": 0.5}, headers=token)
    assert made.headers.get_list("vary") == ["Accept", "Authorization"]
    manifest = await client.post(POST, json={"compression": 0.5}, headers=token | JSON)
    for headers, status in (({}, 200), ({"range": "bytes=0-9"}, 206), ({"if-none-match": "*"}, 304)):
        got = await client.get(manifest.json()["url"], headers=token | headers)
        assert (got.status_code, got.headers["cache-control"]) == (status, "private, max-age=31536000, immutable, no-transform")
        assert got.headers["vary"] == "Authorization"
    for path in ("/v1/models", "/v1/models/tiny/curve"):
        assert (await client.get(path, headers=token)).headers["cache-control"] == "private"
    async with in_process(tiny_app(models)) as client:
        assert "cache-control" not in (await client.get("/v1/models")).headers
        made = await client.post(POST, json={"compression": 0.5})
        assert (await client.get(made.headers["content-location"])).headers["cache-control"].startswith("public, ")


async def test_jwts_have_scopes_too(models: Path, tmp_path: Path) -> None:
    provider = IdentityProvider()
    settings = {"jwt_keys_file": provider.publish(tmp_path / "jwks.json"), "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}
    async with in_process(tiny_app(models, **settings)) as client:
        reader = bearer(provider.token(scope="read"))
        assert (await client.get("/v1/models", headers=reader)).status_code == 200
        assert (await client.post(POST, json={"compression": 0.5}, headers=reader)).status_code == 403
        assert (await client.get("/v1/models")).status_code == 401
        assert (await client.get("/v1/models", headers=bearer(provider.token(exp=1)))).status_code == 401


async def test_refused_requests_are_counted_and_their_bodies_not_read(models: Path, keys: Keys) -> None:
    app = tiny_app(models, api_keys_file=keys.file)
    async with in_process(app) as client:
        answer = await client.post(POST, content=b"x" * 100_000, headers={"content-type": "application/json"})
        problem(answer, 401, "unauthenticated")
    sample = app.state.engine.metrics.registry.get_sample_value
    assert sample("neumeta_requests_total", {"operation": "none", "outcome": "unauthenticated"}) == 1


async def test_the_log_names_who_asked_and_no_part_of_a_token(models: Path, keys: Keys, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    provider, reader = IdentityProvider(), keys.tokens["read"]
    settings = {"jwt_keys_file": provider.publish(tmp_path / "jwks.json"), "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}
    caplog.handler.setFormatter(JsonFormatter())
    async with in_process(tiny_app(models, api_keys_file=keys.file, **settings)) as client:
        with caplog.at_level("INFO", "neumeta_service.http.middleware"):
            await client.get("/v1/models", headers=bearer(reader))
            await client.post(POST, json={"compression": 0.5}, headers=bearer(reader))
            await client.get("/v1/models", headers=bearer(provider.token(sub="device-7")))
            await client.get("/v1/models", headers=bearer(f"{reader[:-1]}x"))
            await client.get("/livez", headers=bearer(reader))
    lines = [json.loads(line) for line in caplog.text.splitlines()]
    known = f"key:{reader[3:11]}"
    expected = [(200, known), (403, known), (200, "jwt:device-7"), (401, None), (200, None)]
    assert [(line["status"], line.get("caller")) for line in lines] == expected
    assert reader[12:] not in caplog.text
