"""Answers leave in as few pieces as they can, and none of them waits for what may never come."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
import pytest
from neumeta_service.http.protocol import BoundedProtocol
from neumeta_service.http.transport import MAX_HELD_BYTES, JoinedWrites
from starlette.types import Receive, Scope, Send

from tests.service.serving import POST, live, tiny_app


class Calls(asyncio.Transport):
    """Where a protocol writes to: keeps each call's bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed
        self.calls.append(bytes(data))

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self.write(b"".join(map(bytes, list_of_data)))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.mark.parametrize("body", [b"body", memoryview(b"body"), b"x" * 10**6])
@pytest.mark.anyio
async def test_head_and_body_are_one_call(calls: Calls, body: bytes | memoryview) -> None:
    joined = JoinedWrites(calls, asyncio.get_running_loop())
    for _ in range(2):
        joined.write(b"head ")
        joined.write(body)
    await asyncio.sleep(0)
    assert calls.calls == [b"head " + body] * 2


@pytest.mark.anyio
async def test_a_head_goes_out_when_no_body_follows_at_once(calls: Calls) -> None:
    joined = JoinedWrites(calls, asyncio.get_running_loop())
    joined.write(b"head")
    assert not calls.calls
    await asyncio.sleep(0)
    assert calls.calls == [b"head"]
    joined.write(b"body")
    await asyncio.sleep(0)
    assert calls.calls == [b"head", b"body"]


@pytest.mark.anyio
async def test_a_head_without_body_is_one_call(calls: Calls) -> None:
    joined = JoinedWrites(calls, asyncio.get_running_loop())
    joined.write(b"head")
    joined.write(b"")
    assert calls.calls == [b"head"]


@pytest.mark.parametrize("piece", [b"x" * (MAX_HELD_BYTES + 1), memoryview(b"x")])
@pytest.mark.anyio
async def test_pieces_of_a_long_body_do_not_wait(calls: Calls, piece: bytes | memoryview) -> None:
    joined = JoinedWrites(calls, asyncio.get_running_loop())
    joined.write(piece)
    assert calls.calls == [bytes(piece)]


@pytest.mark.anyio
async def test_what_is_held_goes_out_before_the_end(calls: Calls) -> None:
    joined = JoinedWrites(calls, asyncio.get_running_loop())
    joined.write(b"head")
    joined.close()
    assert calls.calls == [b"head"]
    assert calls.closed
    await asyncio.sleep(0)


@pytest.mark.anyio
async def test_what_is_held_for_a_client_that_left_is_dropped(calls: Calls) -> None:
    joined = JoinedWrites(calls, asyncio.get_running_loop())
    joined.write(b"head")
    calls.closed = True
    await asyncio.sleep(0)
    assert not calls.calls


class Counted:
    """A transport whose calls are counted."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport, self.calls = transport, 0

    def __getattr__(self, name: str) -> Any:
        self.calls += name in ("write", "writelines")
        return getattr(self.transport, name)


def test_the_service_sends_an_artifact_by_one_call(models: Path) -> None:
    counted: list[Counted] = []

    class Counting(BoundedProtocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            counted.append(Counted(transport))
            super().connection_made(counted[-1])  # type: ignore[arg-type]

    with live(tiny_app(models), http=Counting) as base, httpx.Client(base_url=base, timeout=60) as client:
        answer = client.post(POST, json={"compression": 0.5}).raise_for_status()
        again = client.get(answer.headers["content-location"])
        known = client.get(answer.headers["content-location"], headers={"if-none-match": answer.headers["etag"]})
    assert (again.content, known.status_code) == (answer.content, 304)
    assert [connection.calls for connection in counted] == [3]


def test_over_a_socket_a_client_has_the_head_of_an_answer_whose_body_comes_later() -> None:
    asked = asyncio.Event()

    async def app(scope: Scope, _: Receive, send: Send) -> None:
        if scope["path"] == "/go":
            asked.set()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await asked.wait()
        await send({"type": "http.response.body", "body": b"body"})

    def ask(path: str, connection: socket.socket) -> bytes:
        connection.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        return connection.recv(65536)

    with live(app, lifespan="off") as base:
        place = httpx.URL(base)
        address = place.host, place.port or 0
        with socket.create_connection(address, timeout=60) as first, socket.create_connection(address, timeout=60) as second:
            assert ask("/slow", first).endswith(b"\r\n\r\n")
            assert ask("/go", second).endswith(b"\r\n\r\nbody")
            assert first.recv(65536) == b"body"
