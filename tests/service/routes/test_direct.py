"""The direct way to a handler gives what FastAPI's way gives."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import httpx
import pytest
from fastapi import FastAPI
from neumeta_service.http.middleware import BodyLimit
from neumeta_service.routes.direct import Direct
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tests.service.serving import JSON, POST, in_process, tiny_app

pytestmark = pytest.mark.anyio
ARTIFACT = "/v1/artifacts/{digest}"
VARYING = {"x-request-id", "server-timing"}
DECLARED = {"content-type": "application/json"}


class Asked(NamedTuple):
    method: str
    path: str
    headers: Mapping[str, str] = MappingProxyType({})
    content: bytes | None = None


def post(content: bytes, headers: dict[str, str] | None = None, path: str = POST) -> Asked:
    return Asked("POST", path, DECLARED if headers is None else headers, content)


ASKED = {
    "bytes": post(b'{"compression": 0.5}'),
    "a manifest": post(b'{"widths": {"conv1": 4, "conv2": 7}}', DECLARED | JSON),
    "with a charset": post(b'{"compression": 0.5}', {"content-type": "Application/JSON; charset=utf-8"}),
    "in UTF-16": post('{"compression": 0.5}'.encode("utf-16")),
    "a budget": post(b'{"budget": {"bytes": 100000}, "precision": "fp16"}'),
    "NaN": post(b'{"compression": NaN}'),
    "a name twice": post(b'{"compression": 9, "compression": 0.5}'),
    "out of range": post(b'{"compression": 0.99}'),
    "an impossible budget": post(b'{"budget": {"params": 1}}'),
    "no selector": post(b"{}"),
    "an unknown field": post(b'{"compression": 0.5, "size": 1}'),
    "a text as number": post(b'{"compression": "0.5"}'),
    "no JSON": post(b'{"compression": '),
    "no text": post(b"\xff\xfe\xfa"),
    "too deep": post(b"[" * 15_000),
    "too long a number": post(b'{"compression": ' + b"1" * 5_000 + b"}"),
    "an empty body": post(b""),
    "no object": post(b"[1]"),
    "too large": post(b" " * 17_000),
    "undeclared": post(b'{"compression": 0.5}', {}),
    "declared as a form": post(b'{"compression": 0.5}', {"content-type": "text/plain"}),
    "undeclared and invalid": post(b"{}", {"content-type": "text/plain"}),
    "not acceptable": post(b'{"compression": 0.5}', DECLARED | {"accept": "text/html"}),
    "another model": post(b'{"compression": 0.5}', path="/v1/models/other/materialize"),
    "a name that needs quoting": post(b'{"compression": 0.5}', path="/v1/models/a%20b/materialize"),
    "a longer path": post(b'{"compression": 0.5}', path="/v1/models/a/b/materialize"),
    "no model": post(b'{"compression": 0.5}', path="/v1/models//materialize"),
    "another version": post(b'{"compression": 0.5, "version": 7}'),
    "GET of a member": Asked("GET", POST),
    "an artifact": Asked("GET", ARTIFACT),
    "its head": Asked("HEAD", ARTIFACT),
    "a part of it": Asked("GET", ARTIFACT, {"range": "bytes=10-19"}),
    "no part of it": Asked("GET", ARTIFACT, {"range": "bytes=9999999-"}),
    "a known one": Asked("GET", ARTIFACT, {"if-none-match": "*"}),
    "another": Asked("GET", ARTIFACT, {"if-match": '"other"'}),
    "an unknown one": Asked("GET", "/v1/artifacts/sha256:" + "0" * 64),
    "no digest": Asked("GET", "/v1/artifacts/"),
    "its signature": Asked("GET", f"{ARTIFACT}/signature"),
    "DELETE of one": Asked("DELETE", ARTIFACT),
}


def without_direct(app: FastAPI) -> FastAPI:
    """An app that has no other way than FastAPI's."""
    before = len(app.user_middleware)
    app.user_middleware = [middleware for middleware in app.user_middleware if middleware.cls is not Direct]
    assert len(app.user_middleware) == before - 1
    return app


@pytest.fixture
async def ways(models: Path) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
    async with in_process(tiny_app(models)) as direct, in_process(without_direct(tiny_app(models))) as plain:
        yield direct, plain


async def answer_of(client: httpx.AsyncClient, asked: Asked) -> tuple[int, dict[str, str], Any]:
    """What does not vary from one request to the next: status, headers, body."""
    digest = (await client.post(POST, json={"compression": 0.25})).headers["etag"].strip('"')
    answer = await client.request(asked.method, asked.path.format(digest=digest), headers=asked.headers, content=asked.content)
    headers = {name: value for name, value in answer.headers.items() if name not in VARYING}
    is_problem = answer.headers.get("content-type") == "application/problem+json"
    return answer.status_code, headers, answer.json() | {"request_id": ""} if is_problem else answer.content


@pytest.mark.parametrize("name", ASKED)
async def test_both_ways_give_the_same(ways: tuple[httpx.AsyncClient, httpx.AsyncClient], name: str) -> None:
    direct, plain = ways
    for _ in range(2):  # Built, and from memory.
        assert await answer_of(direct, ASKED[name]) == await answer_of(plain, ASKED[name])


async def test_what_is_plainly_valid_never_comes_to_fastapi(models: Path) -> None:
    app, passed_on = tiny_app(models), []

    async def fastapis_way(scope: Scope, receive: Receive, send: Send) -> None:
        passed_on.append(await Request(scope, receive).body())
        await Response(status_code=418)(scope, receive, send)

    direct = BodyLimit(Direct(fastapis_way, app.state.engine))

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        await direct(scope | {"app": app}, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(served), base_url="http://test") as client:
        made = await client.post(POST, json={"compression": 0.5})
        got = [await method(made.headers["content-location"]) for method in (client.get, client.head)]
        assert [answer.status_code for answer in (made, *got)] == [200, 200, 200]
        assert passed_on == []
        assert (await client.post(POST, content=b"no selection", headers=DECLARED)).status_code == 418
        assert passed_on == [b"no selection"]
    await app.state.engine.aclose()


async def test_the_operations_in_the_metrics_are_the_same(ways: tuple[httpx.AsyncClient, httpx.AsyncClient]) -> None:
    counted = []
    for client in ways:
        for asked in ASKED.values():
            await answer_of(client, asked)
        lines = (await client.get("/metrics")).text.splitlines()
        counted.append(sorted(line for line in lines if line.startswith("neumeta_requests_total")))
    assert counted[0] == counted[1]
