"""Messages that are no HTTP, or nearly (RFC 9110, RFC 9112): refused or the connection closed, and the next request is served."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.raw import Wire
from tests.service.serving import POST, live, tiny_app

BODY = b'{"compression": 0.5}'
LINE = f"POST {POST} HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n".encode()
GET = b"GET /livez HTTP/1.1\r\nhost: test\r\n"
SMUGGLED = b"GET /v1/models HTTP/1.1\r\nhost: test\r\n\r\n"
CHUNKED = LINE + b"transfer-encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def wire(models: Path) -> Iterator[Wire]:
    with live(tiny_app(models)) as base:
        yield Wire(base)


NO_HTTP = {
    "one byte": b"\x00",
    "the authority form": b"CONNECT test:80 HTTP/1.1\r\nhost: test\r\n\r\n",
    "the absolute form without a path": b"GET http://test HTTP/1.1\r\nhost: test\r\n\r\n",
    "a path that is not ASCII": b"GET /\xff\xfe HTTP/1.1\r\nhost: test\r\n\r\n",
    "no method": b" / HTTP/1.1\r\n\r\n",
    "an odd version": b"GET /livez HTTP/9.9\r\nhost: test\r\n\r\n",
    "a thousand fields": GET + b"".join(b"x-%d: 1\r\n" % number for number in range(1000)) + b"\r\n",
    "another protocol": b"*1\r\n$4\r\nPING\r\n",
    "TLS": bytes.fromhex("16030100c8010000c40303") + bytes(190),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a method of strange characters": b"G\x00T /livez HTTP/1.1\r\nhost: test\r\n\r\n",
    "a space in the path": b"GET /live z HTTP/1.1\r\nhost: test\r\n\r\n",
    "NUL in the path": b"GET /livez\x00 HTTP/1.1\r\nhost: test\r\n\r\n",
    "NUL in a field": GET + b"x-one: a\x00b\r\n\r\n",
    "a carriage return in a field": GET + b"x-one: a\rb\r\n\r\n",
    "a space before the colon": GET + b"x-one : a\r\n\r\n",
    "a folded field": GET + b"x-one: a\r\n b\r\n\r\n",
    "a field without a name": GET + b": a\r\n\r\n",
    "a field without a colon": GET + b"x-one\r\n\r\n",
    "two lengths": LINE + b"content-length: 20\r\ncontent-length: 21\r\n\r\n" + BODY + SMUGGLED,
    "a list of lengths": LINE + b"content-length: 20, 20\r\n\r\n" + BODY,
    "a negative length": LINE + b"content-length: -1\r\n\r\n" + BODY,
    "a signed length": LINE + b"content-length: +20\r\n\r\n" + BODY,
    "a hexadecimal length": LINE + b"content-length: 0x14\r\n\r\n" + BODY,
    "a length without end": LINE + b"content-length: " + b"9" * 100 + b"\r\n\r\n" + BODY,
    "length and chunks": LINE + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "chunks and length": LINE + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "chunked, but not last": LINE + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "an unknown coding": LINE + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "a chunk size that is none": CHUNKED + b"zz\r\n" + BODY,
    "a negative chunk size": CHUNKED + b"-1\r\n" + BODY,
    "a chunk size without end": CHUNKED + b"f" * 40 + b"\r\n" + BODY,
    "a chunk that is longer than said": CHUNKED + b"2\r\n" + BODY + b"\r\n0\r\n\r\n",
}
ODD = {
    "an empty line first": b"\r\n" + GET + b"\r\n",
    "the absolute form": b"GET http://test/livez HTTP/1.1\r\nhost: test\r\n\r\n",
    "a query": b"GET /livez?a=%00&b=%ff#c HTTP/1.1\r\nhost: test\r\n\r\n",
    "no host": b"GET /livez HTTP/1.1\r\n\r\n",
    "bytes beyond ASCII in a field": GET + b"x-one: \xff\xfe\r\n\r\n",
    "a hundred fields": GET + b"".join(b"x-%d: 1\r\n" % number for number in range(99)) + b"\r\n",
    "an empty field": GET + b"x-one:\r\n\r\n",
    "a body that is not expected": GET + b"content-length: 20\r\n\r\n" + BODY,
    "chunks": CHUNKED + b"5;x=y\r\n" + BODY[:5] + b"\r\nf\r\n" + BODY[5:] + b"\r\n0\r\nx-trailer: 1\r\n\r\n",
    "another expectation": LINE + b"expect: the-unexpected\r\ncontent-length: 20\r\n\r\n" + BODY,
}
"""What is allowed, or harmless, and gets its answer."""
CUT = {
    "in the line": b"GET /liv",
    "in a field": GET + b"x-on",
    "after the fields": GET,
    "in the body": LINE + b"content-length: 20\r\n\r\n" + BODY[:-1],
    "before the body": LINE + b"content-length: 20\r\n\r\n",
    "in a chunk": CHUNKED + b"14\r\n" + BODY[:5],
    "before the last chunk": CHUNKED + b"14\r\n" + BODY + b"\r\n",
    "in a chunk size": CHUNKED + b"1",
}
SHORT = {
    "NUL in a field",
    "length and chunks",
    "two lengths",
    "a folded field",
    "a chunk size that is none",
    "in the body",
    "before the last chunk",
    "chunks",
}


def table(messages: dict[str, bytes]) -> list[object]:
    return [pytest.param(message, id=name, marks=[] if name in SHORT else [pytest.mark.slow]) for name, message in messages.items()]


@pytest.mark.parametrize("message", table(NO_HTTP))
def test_what_is_no_http_is_refused(wire: Wire, message: bytes) -> None:
    statuses = wire.say(message)
    assert len(statuses) <= 1, f"{statuses}: something was smuggled in"
    assert all(400 <= status < 500 or status == 505 for status in statuses), statuses
    assert wire.is_well()


@pytest.mark.parametrize("message", table(ODD))
def test_what_is_odd_is_served_and_the_connection_stays_in_step(wire: Wire, message: bytes) -> None:
    assert wire.say(message) == [200, 200]


def test_a_request_for_the_server_itself(wire: Wire) -> None:
    assert wire.say(b"OPTIONS * HTTP/1.1\r\nhost: test\r\n\r\n") == [404, 200]


def test_the_old_version_ends_the_connection(wire: Wire) -> None:
    assert wire.say(b"GET /livez HTTP/1.0\r\nconnection: keep-alive\r\n\r\n") == [200]


def test_a_client_that_waits_to_be_told_to_go_on(wire: Wire) -> None:
    assert wire.say(LINE + b"expect: 100-continue\r\ncontent-length: 20\r\n\r\n" + BODY) == [100, 200, 200]


def test_a_head_without_end_is_refused_before_it_is_whole(wire: Wire) -> None:
    for endless in (b"GET /" + b"a" * 2_000_000, GET + b"x-one: " + b"a" * 2_000_000, GET + b"x-one: a\r\n" * 200_000):
        assert wire.say(endless) in ([], [431])
        assert wire.is_well()


def test_a_body_without_end_is_refused_before_it_is_whole(wire: Wire) -> None:
    assert wire.say(CHUNKED + (b"1000\r\n" + b" " * 4096 + b"\r\n") * 1000 + b"0\r\n\r\n") == [413, 200]
    assert wire.is_well()


@pytest.mark.parametrize("message", table(CUT))
def test_what_is_cut_is_not_answered_as_if_it_were_whole(wire: Wire, message: bytes) -> None:
    assert all(400 <= status < 500 for status in wire.say(message, is_cut=True))
    assert wire.is_well()
