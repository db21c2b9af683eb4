"""HEAD, over a real socket: every path that has a GET answers it with the same head."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from neumeta_service.http.head import HeadAsGet
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import Message

from tests.service.serving import POST, live, tiny_app

OF_THEIR_OWN = {"x-request-id", "date"}


@pytest.fixture(scope="module")
def client(models: Path) -> Iterator[httpx.Client]:
    with live(tiny_app(models)) as base, httpx.Client(base_url=base, timeout=60) as client:
        yield client


def paths(client: httpx.Client) -> list[str]:
    """All that the description has, and the pages that it has not."""
    artifact = client.post(POST, json={"compression": 0.5}).headers["content-location"]
    values = {"{name}": "tiny", "{digest}": artifact.rpartition("/")[2], "{device}": "none", "{job_id}": "none"}
    found = ["/", "/docs", "/docs/start.js", "/openapi.json", "/nowhere"]
    for path, methods in client.get("/openapi.json").json()["paths"].items():
        if "get" in methods:
            for name, value in values.items():
                path = path.replace(name, value)
            found.append(path)
    return found


def test_head_is_get_without_the_content(client: httpx.Client) -> None:
    asked = paths(client)
    assert {"/livez", "/metrics", "/v1/models/tiny/curve"} <= set(asked)
    for path in asked:
        got, head = client.get(path), client.head(path)
        # What the metrics count is more every time.
        ignored = OF_THEIR_OWN | ({"content-length"} if path == "/metrics" else set())
        assert (path, head.status_code, described(head, ignored)) == (path, got.status_code, described(got, ignored))
        assert head.content == b""


@pytest.mark.anyio
@pytest.mark.parametrize(("path", "asked"), [("/get", b"GET"), ("/both", b"HEAD")])
async def test_the_content_is_kept_back_and_a_head_of_its_own_is_asked_as_one(path: str, asked: bytes) -> None:
    """As plain ASGI: both uvicorn and httpx leave the content out by themselves, and only the log would tell."""

    async def said(request: Request) -> Response:
        return Response(b"" if request.method == "HEAD" else b"content", headers={"asked": request.method})

    async def nothing() -> Message:
        return {"type": "http.request"}

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    only_get = Route("/get", said)
    only_get.methods = {"GET"}  # Starlette adds HEAD, FastAPI does not.
    router = Router([only_get, Route("/both", said)])
    scope = {"type": "http", "method": "HEAD", "path": path, "headers": [], "query_string": b""}
    await HeadAsGet(router, router)(scope, nothing, send)
    assert (b"asked", asked) in sent[0]["headers"]
    assert b"".join(message["body"] for message in sent[1:]) == b""


def described(response: httpx.Response, ignored: set[str]) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name not in ignored and name != "server-timing"}


def test_a_path_without_get_has_no_head(client: httpx.Client) -> None:
    response = client.head(POST)
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert client.put("/v1/models/tiny/curve", json={}).headers["allow"] == "GET, HEAD"


def test_it_counts_as_the_operation_that_it_asks_for(client: httpx.Client) -> None:
    def counted() -> float:
        line = 'neumeta_requests_total{operation="get_curve",outcome="ok"} '
        return sum(float(row.removeprefix(line)) for row in client.get("/metrics").text.splitlines() if row.startswith(line))

    before = counted()
    client.head("/v1/models/tiny/curve")
    assert counted() == before + 1
