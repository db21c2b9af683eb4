"""What a client may send, and how long it may take: over a real socket."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from neumeta_service.http.middleware import MAX_BODY_BYTES
from neumeta_service.http.protocol import MAX_FIELDS, MAX_HEAD_BYTES, MAX_PIPELINED, BoundedProtocol
from neumeta_service.telemetry.log import request_id
from starlette.types import Receive, Scope, Send

from tests.service.serving import POST, CountedManifold, live, posting, tiny_app


class Impatient(BoundedProtocol):
    request_timeout_s = 0.2


@pytest.fixture(scope="module")
def client(models: Path) -> Iterator[httpx.Client]:
    with live(tiny_app(models)) as base, httpx.Client(base_url=base, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def impatient(models: Path) -> Iterator[httpx.Client]:
    with live(tiny_app(models), http=Impatient, timeout_keep_alive=1) as base, httpx.Client(base_url=base, timeout=60) as client:
        yield client


def connect(client: httpx.Client) -> socket.socket:
    return socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=60)


def received(connection: socket.socket) -> bytes:
    """All until the service closes."""
    data = b""
    with suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            data += piece
    return data


def head(size: int) -> bytes:
    """A request whose path and fields, with what separates them, have this size."""
    start, end = b"GET /livez HTTP/1.1\r\nhost: x\r\nx: ", b"\r\n\r\n"
    return start + b"x" * (size - len("/livez") - len("host") - len("x") - 4 - len("x") - 4) + end


def test_the_longest_head_is_read(client: httpx.Client) -> None:
    with connect(client) as connection:
        for _ in range(2):
            connection.sendall(head(MAX_HEAD_BYTES))
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("piece", [100, 5000, 10**6])
def test_one_byte_more_is_refused(client: httpx.Client, piece: int) -> None:
    request = head(MAX_HEAD_BYTES + 1)
    with connect(client) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(request), piece):
            connection.sendall(request[start : start + piece])
        status, _, rest = received(connection).partition(b"\r\n")
    assert status == b"HTTP/1.1 431 Request Header Fields Too Large"
    fields, _, body = rest.partition(b"\r\n\r\n")
    document = json.loads(body)
    assert (document["code"], document["status"]) == ("headers_too_large", 431)
    assert f"x-request-id: {document['request_id']}".encode() in fields
    assert f"content-length: {len(body)}".encode() in fields
    assert b"content-type: application/problem+json" in fields
    assert client.get("/livez").status_code == 200


@pytest.mark.parametrize("start", [b"GET /livez HTTP/1.1\r\nhost: x\r\nx: ", b"GET /livez?", b"GET /livez HTTP/1.1\r\nhost: x\r\n"])
def test_a_head_without_end_is_refused(client: httpx.Client, start: bytes) -> None:
    endless = b"x: y\r\n" if start.endswith(b"\n") else b"xxxxxx"
    with connect(client) as connection, suppress(ConnectionError):
        connection.sendall(start)
        for _ in range(100_000):
            connection.sendall(endless * 100)
        pytest.fail("The service read 60 MB of one head.")


def test_the_number_of_fields_is_limited(client: httpx.Client) -> None:
    own = len(client.get("/livez").request.headers)
    for extra, status in ((MAX_FIELDS - own, 200), (MAX_FIELDS - own + 1, 431)):
        assert client.get("/livez", headers={f"x-{number}": "x" for number in range(extra)}).status_code == status


@pytest.mark.parametrize("hosts", [b"", b"host: a\r\nhost: a\r\n", b"Host: a\r\nHOST: b\r\n"])
def test_a_request_names_one_host(client: httpx.Client, hosts: bytes) -> None:
    with connect(client) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\n" + hosts + b"\r\nGET /livez HTTP/1.1\r\nhost: a\r\n\r\n")
        answers = received(connection)
    assert answers.startswith(b"HTTP/1.1 400 ")
    assert answers.count(b"HTTP/1.1 ") == 1


def test_one_of_http_1_0_needs_none(client: httpx.Client) -> None:
    with connect(client) as connection:
        connection.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        assert received(connection).startswith(b"HTTP/1.1 200 ")


def test_a_long_body_is_no_long_head(client: httpx.Client) -> None:
    body = b'{"compression": 0.5}' + b" " * (MAX_BODY_BYTES - 20)
    post = f"POST {POST} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
    with connect(client) as connection:
        # Two at once, and another whose head comes in three pieces.
        connection.sendall(post + post + b"GET /livez HTTP/1.1\r\nhost: x\r\n")
        answers = b""
        while answers.count(b"HTTP/1.1 200 ") < 2:
            answers += connection.recv(65536)
        connection.sendall(b"x: y\r\n")
        assert client.get("/livez").status_code == 200, "the service had time to read the second"
        connection.sendall(b"connection: close\r\n\r\n")
        assert (answers + received(connection)).count(b"HTTP/1.1 200 ") == 3


@pytest.mark.parametrize(
    "sent",
    [b"", b"\r\n", b"G", b"GET /livez HTTP/1.1\r\nhost: x\r\n", f"POST {POST} HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{{".encode()],
    ids=["nothing", "an empty line", "one byte", "half a head", "half a body"],
)
def test_a_client_that_does_not_finish_is_disconnected(impatient: httpx.Client, sent: bytes) -> None:
    with connect(impatient) as connection:
        connection.sendall(sent)
        assert received(connection) == b""
    with connect(impatient) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n" + sent)
        assert received(connection).startswith(b"HTTP/1.1 200 ")


def test_an_empty_line_before_the_first_request_is_passed_over(models: Path) -> None:
    has_read = threading.Event()

    class Telling(BoundedProtocol):
        def data_received(self, data: bytes) -> None:
            try:
                super().data_received(data)
            finally:
                has_read.set()

    with live(tiny_app(models), http=Telling) as base, httpx.Client(base_url=base) as client, connect(client) as connection:
        connection.sendall(b"\r\n")
        assert has_read.wait(60)
        connection.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert received(connection).startswith(b"HTTP/1.1 200 ")


def test_an_empty_line_after_an_answer_does_not_keep_the_connection(impatient: httpx.Client) -> None:
    with connect(impatient) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
        answer = b""
        while not answer.endswith(b"}"):
            answer += connection.recv(65536)
        connection.sendall(b"\r\n")
        assert received(connection) == b""


def test_dripping_does_not_help(impatient: httpx.Client) -> None:
    with connect(impatient) as connection, suppress(ConnectionError):
        connection.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\nx: ")
        connection.settimeout(0.02)
        for _ in range(3000):
            connection.sendall(b"x")
            with suppress(TimeoutError):
                assert connection.recv(100) == b""
                return
        pytest.fail("The service waited for a minute.")


def test_a_request_that_takes_long_to_answer_is_no_request_that_takes_long_to_arrive(models: Path, manifold: CountedManifold) -> None:
    manifold.gate.clear()
    body = b'{"compression": 0.5}'
    with live(tiny_app(models, manifold), http=Impatient) as base, httpx.Client(base_url=base, timeout=60) as client, connect(client) as connection:
        connection.sendall(
            f"POST {POST} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
        )
        assert manifold.started.wait(60)
        connection.settimeout(4 * Impatient.request_timeout_s)
        with pytest.raises(TimeoutError):
            connection.recv(100)
        manifold.gate.set()
        connection.settimeout(60)
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")


# What may follow a head


async def list_headers(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the names of a request's headers and with its body."""
    body, message = b"", await receive()
    while message["type"] == "http.request":
        body += message["body"]
        if not message["more_body"]:
            break
        message = await receive()
    answer = b" ".join(name for name, _ in scope["headers"]) + b"|" + body
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(answer))]})
    await send({"type": "http.response.body", "body": answer})


@pytest.fixture(scope="module")
def lister() -> Iterator[httpx.Client]:
    with live(list_headers, lifespan="off") as base, httpx.Client(base_url=base, timeout=60) as client:
        yield client


CHUNKED = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
LAST = b"GET /last HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"


def test_trailers_are_no_headers(lister: httpx.Client) -> None:
    with connect(lister) as connection:
        connection.sendall(CHUNKED + b"authorization: Bearer secret\r\nx-forwarded-for: 6.6.6.6\r\n\r\n" + LAST)
        answers = received(connection)
    assert b"host transfer-encoding|{}" in answers
    assert b"host connection|" in answers


@pytest.mark.parametrize("endless", [b"x: y\r\n" * 100, b"x" * 1000], ids=["fields", "one field"])
def test_trailers_without_end_are_refused(client: httpx.Client, endless: bytes) -> None:
    with connect(client) as connection, suppress(ConnectionError):
        connection.sendall(CHUNKED.replace(b"POST /", f"POST {POST}".encode()) + b"x: ")
        for _ in range(30_000):
            connection.sendall(endless)
        pytest.fail("The service read 18 MB of trailers.")


@pytest.mark.parametrize("split", [0, 40, -3], ids=["at once", "in the head", "in the body"])
@pytest.mark.parametrize(
    "body", [b"content-length: 4\r\n\r\nbody", b"transfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"], ids=["length", "chunks"]
)
def test_a_request_that_asks_for_another_protocol_keeps_its_body(lister: httpx.Client, body: bytes, split: int) -> None:
    upgrade = b"POST / HTTP/1.1\r\nhost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n" + body
    with connect(lister) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for sent in (upgrade[:split], upgrade[split:]) if split else (upgrade,):
            connection.sendall(sent)
            assert lister.get("/").status_code == 200, "the service had time to read it"
        connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n" + LAST)
        answers = received(connection)
    assert answers.count(b"HTTP/1.1 200 ") == 3
    assert b"|body" in answers


def test_a_tunnel_is_not_made(client: httpx.Client) -> None:
    with connect(client) as connection:
        connection.sendall(b"CONNECT /livez HTTP/1.1\r\nhost: x\r\n\r\n" + LAST)
        answers = received(connection)
    assert (answers.count(b"HTTP/1.1 "), answers[:12]) == (1, b"HTTP/1.1 405")


# Requests that wait for the answers to earlier ones


def test_requests_that_come_at_once_are_answered_in_order(lister: httpx.Client) -> None:
    with connect(lister) as connection:
        connection.sendall(b"".join(b"GET / HTTP/1.1\r\nhost: x\r\nx%d: y\r\n\r\n" % number for number in range(MAX_PIPELINED)) + LAST)
        answers = received(connection)
    assert [int(found) for found in re.findall(rb"host x(\d+)\|", answers)] == list(range(MAX_PIPELINED))
    assert answers.endswith(b"host connection|")


def test_more_of_them_than_a_connection_may_have_are_not_read(lister: httpx.Client) -> None:
    with connect(lister) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 1000)
        answers = received(connection)
    assert MAX_PIPELINED < answers.count(b"HTTP/1.1 200 ") < 1000


@pytest.mark.parametrize(
    "bad", [b"\0\0\r\n\r\n", b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"x" * MAX_HEAD_BYTES, b"x"], ids=["garbage", "long", "start"]
)
def test_what_cannot_be_read_does_not_come_between_an_answer_and_its_request(models: Path, manifold: CountedManifold, bad: bytes) -> None:
    manifold.gate.clear()
    with live(tiny_app(models, manifold)) as base, httpx.Client(base_url=base, timeout=60) as client:
        with posting(client) as connection:
            assert manifold.started.wait(60)
            connection.sendall(bad)
            assert client.get("/livez").status_code == 200, "the service had time to read it"
            connection.sendall(b"\0\r\n")
            assert client.get("/livez").status_code == 200
            manifold.gate.set()
            answers = received(connection)
        assert answers.startswith(b"HTTP/1.1 200 ")
        assert answers.count(b"HTTP/1.1 ") == 1
        assert answers.endswith(client.post(POST, json={"compression": 0.5}).content)


def test_a_body_that_cannot_be_read_is_answered_after_what_was_asked_before(models: Path, manifold: CountedManifold) -> None:
    manifold.gate.clear()
    with live(tiny_app(models, manifold)) as base, httpx.Client(base_url=base, timeout=60) as client, posting(client) as connection:
        assert manifold.started.wait(60)
        connection.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n" + CHUNKED.replace(b"\r\n0\r\n", b"\r\nno chunk\r\n") + LAST)
        assert client.get("/livez").status_code == 200, "the service had time to read it"
        manifold.gate.set()
        answers = received(connection)
    assert re.findall(rb"HTTP/1\.1 (\d+) ", answers) == [b"200", b"200", b"400"]


def test_a_body_that_cannot_be_read_is_answered_once(client: httpx.Client) -> None:
    with connect(client) as connection:
        connection.sendall(CHUNKED.replace(b"POST /", f"POST {POST}".encode()).replace(b"\r\n0\r\n", b"\r\nno chunk\r\n"))
        answers = received(connection)
    assert (answers.count(b"HTTP/1.1 "), answers[:12]) == (1, b"HTTP/1.1 400")


def test_the_id_of_a_refused_request_is_that_of_no_other(client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    ids: list[str] = []
    caplog.handler.addFilter(lambda _: ids.append(request_id.get()) or True)
    with connect(client) as connection:
        connection.sendall(head(MAX_HEAD_BYTES + 1))
        assert b"\r\ndate: " in received(connection)
    with connect(client) as connection:
        connection.sendall(b"\0\r\n\r\n")
        received(connection)
    assert ids == ["-", "-"]


def test_an_answer_reaches_a_client_that_sends_nothing_more(models: Path) -> None:
    class Half(BoundedProtocol):
        """Its clients close their side when the answer is made, as uvloop has it: the transport closes itself."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            self.inner = transport
            super().connection_made(transport)

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self.eof_received()
            self.inner.close()

    with live(tiny_app(models), http=Half) as base, httpx.Client(base_url=base, timeout=60) as client, connect(client) as connection:
        connection.sendall(b"HEAD /livez HTTP/1.1\r\nhost: x\r\n\r\n")
        assert received(connection).startswith(b"HTTP/1.1 200 ")
