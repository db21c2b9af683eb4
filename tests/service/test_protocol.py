"""What a client may send, and how long it may take: over a real socket."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from neumeta_service.http.middleware import MAX_BODY_BYTES
from neumeta_service.http.protocol import MAX_FIELDS, MAX_HEAD_BYTES, BoundedProtocol

from tests.service.serving import POST, CountedManifold, live, tiny_app


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
