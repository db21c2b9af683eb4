"""Conditional and range requests (RFC 9110) over a real socket."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from neumeta_service.errors import RangeNotSatisfiable
from neumeta_service.http.blob import PIECE_BYTES, parse_range, whole_response
from starlette.types import Message

from tests.service.cache.entries import entry
from tests.service.serving import JSON, POST, live, tiny_app


@dataclass
class Blob:
    client: httpx.Client
    url: str
    data: bytes

    @property
    def etag(self) -> str:
        return f'"{self.url.rpartition("/")[2]}"'

    def get(self, **headers: str) -> httpx.Response:
        return self.client.get(self.url, headers={name.replace("_", "-"): value for name, value in headers.items()})


@pytest.fixture(scope="module")
def blob(models: Path) -> Iterator[Blob]:
    with live(tiny_app(models)) as base, httpx.Client(base_url=base, timeout=60) as client:
        data = client.post(POST, json={"compression": 0.5}).content
        yield Blob(client, client.post(POST, json={"compression": 0.5}, headers=JSON).json()["url"], data)


def test_whole(blob: Blob) -> None:
    response = blob.get()
    assert response.status_code == 200
    assert response.content == blob.data
    assert response.headers["etag"] == f'"sha256:{hashlib.sha256(blob.data).hexdigest()}"'
    assert response.headers["repr-digest"] == f"sha-256=:{base64.b64encode(hashlib.sha256(blob.data).digest()).decode()}:"
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable, no-transform"
    assert response.headers["accept-ranges"] == "bytes"
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.headers["content-length"] == str(len(blob.data))
    assert response.headers["content-disposition"] == f'attachment; filename="tiny-1-c0.500-fp32-{blob.etag[8:20]}.onnx"'


def test_head_has_the_headers_and_no_body(blob: Blob) -> None:
    response = blob.client.head(blob.url)
    assert response.status_code == 200
    assert response.content == b""
    for name in ("etag", "repr-digest", "content-length", "accept-ranges", "cache-control", "content-disposition", "content-type"):
        assert response.headers[name] == blob.get().headers[name]
    assert blob.client.get("/livez").status_code == 200, "the connection is still in step"


def test_head_ignores_a_range(blob: Blob) -> None:
    response = blob.client.head(blob.url, headers={"range": "bytes=0-3"})
    assert response.status_code == 200
    assert response.headers["content-length"] == str(len(blob.data))


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-99", 0, 100),
        ("bytes=100-", 100, None),
        ("bytes=-7", -7, None),
        ("bytes=5-999999", 5, None),
        ("bytes=-999999", 0, None),
        ("BYTES=2-3", 2, 4),
        ("bytes= 2-3 ,", 2, 4),
        ("bytes=0002-0003", 2, 4),
        ("bytes=5-" + "9" * 5000, 5, None),
    ],
)
def test_single_range(blob: Blob, asked: str, start: int, stop: int | None) -> None:
    response = blob.get(range=asked)
    expected = blob.data[start:stop]
    first = start % len(blob.data)
    assert response.status_code == 206
    assert response.content == expected
    assert response.headers["content-range"] == f"bytes {first}-{first + len(expected) - 1}/{len(blob.data)}"
    assert response.headers["content-length"] == str(len(expected))
    assert response.headers["repr-digest"] == blob.get().headers["repr-digest"], "the digest of the whole"
    assert response.headers["etag"] == blob.etag


@pytest.mark.parametrize(
    "asked",
    ["bytes=5-4", "bytes=0-1,3-4", "bytes=-", "bytes=", "bytes", "bytes=a-b", "bytes=1", "bytes=+1-2", "lines=0-1", "bytes=1-2-3", "bytes=٣-"],
)
def test_what_is_no_single_range_gets_the_whole(blob: Blob, asked: str) -> None:
    response = blob.client.get(blob.url, headers={"range": asked.encode()})
    assert response.status_code == 200
    assert response.content == blob.data
    assert "content-range" not in response.headers


def test_two_range_fields_get_the_whole(blob: Blob) -> None:
    response = blob.client.get(blob.url, headers=[("range", "bytes=0-1"), ("range", "bytes=2-3")])
    assert response.status_code == 200


@pytest.mark.parametrize("asked", ["bytes={size}-", "bytes={size}-{size}", "bytes=-0", "bytes=99999999999999999999-"])
def test_range_outside(blob: Blob, asked: str) -> None:
    response = blob.get(range=asked.format(size=len(blob.data)))
    assert response.status_code == 416
    assert response.headers["content-range"] == f"bytes */{len(blob.data)}"
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == "range_not_satisfiable"


def test_last_byte_is_inside(blob: Blob) -> None:
    assert blob.get(range=f"bytes={len(blob.data) - 1}-").content == blob.data[-1:]


def test_if_range_with_the_strong_etag_resumes(blob: Blob) -> None:
    response = blob.get(range="bytes=10-", if_range=blob.etag)
    assert (response.status_code, response.content) == (206, blob.data[10:])


@pytest.mark.parametrize("validator", ["W/{etag}", '"sha256:other"', "Sun, 06 Nov 1994 08:49:37 GMT", "*", "{bare}"])
def test_if_range_with_anything_else_gets_the_whole(blob: Blob, validator: str) -> None:
    response = blob.get(range="bytes=10-", if_range=validator.format(etag=blob.etag, bare=blob.etag.strip('"')))
    assert (response.status_code, response.content) == (200, blob.data)


@pytest.mark.parametrize("known", ["{etag}", "W/{etag}", '"a", {etag}', '"a",W/{etag} , "b"', "*", '"a,b", {etag}'])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_if_none_match_that_names_it(blob: Blob, known: str, method: str) -> None:
    response = blob.client.request(method, blob.url, headers={"if-none-match": known.format(etag=blob.etag), "range": "bytes=0-1"})
    assert response.status_code == 304
    assert response.content == b""
    assert response.headers["etag"] == blob.etag
    assert "immutable" in response.headers["cache-control"]
    assert "content-length" not in response.headers


@pytest.mark.parametrize("known", ['"other"', 'W/"other"', "{bare}", '"*"', '"x{bare}"', ""])
def test_if_none_match_that_does_not(blob: Blob, known: str) -> None:
    assert blob.get(if_none_match=known.format(bare=blob.etag.strip('"'))).status_code == 200


@pytest.mark.parametrize("wanted", ["{etag}", '"a", {etag}', "*"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_if_match_that_names_it(blob: Blob, wanted: str, method: str) -> None:
    response = blob.client.request(method, blob.url, headers={"if-match": wanted.format(etag=blob.etag), "range": "bytes=0-1"})
    assert response.status_code == (206 if method == "GET" else 200)


@pytest.mark.parametrize("wanted", ['"other"', "W/{etag}", "{bare}", '"*"', ""])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_if_match_that_does_not(blob: Blob, wanted: str, method: str) -> None:
    # Before If-None-Match and Range (RFC 9110 section 13.2.2).
    fields = {"if-match": wanted.format(etag=blob.etag, bare=blob.etag.strip('"')), "if-none-match": "*", "range": "bytes=0-1"}
    response = blob.client.request(method, blob.url, headers=fields)
    assert response.status_code == 412
    if method == "GET":
        assert response.json()["code"] == "precondition_failed"
        assert blob.etag in response.json()["detail"]


def test_several_if_none_match_fields(blob: Blob) -> None:
    assert blob.client.get(blob.url, headers=[("if-none-match", '"a"'), ("if-none-match", blob.etag)]).status_code == 304


def test_a_post_is_never_answered_with_304_or_206(blob: Blob) -> None:
    response = blob.client.post(POST, json={"compression": 0.5}, headers={"if-none-match": blob.etag, "range": "bytes=0-1"})
    assert (response.status_code, response.content) == (200, blob.data)


async def sent(size: int) -> tuple[list[Message], bytes]:
    """What the answer with an artifact of ``size`` bytes hands to the server, and the artifact."""
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    artifact = entry(7, size)
    await whole_response(artifact)({"type": "http"}, never, send)
    return messages, artifact.data


async def never() -> Message:
    raise AssertionError("a response reads nothing")


@pytest.mark.anyio
@pytest.mark.parametrize("size", [1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 2 * PIECE_BYTES, 3 * PIECE_BYTES + 5])
async def test_a_body_goes_out_in_views_of_itself(size: int) -> None:
    (start, *pieces), data = await sent(size)
    assert dict(start["headers"])[b"content-length"] == str(size).encode()
    assert b"".join(piece["body"] for piece in pieces) == data
    assert all(0 < len(piece["body"]) <= PIECE_BYTES for piece in pieces)
    assert all(memoryview(piece["body"]).obj is data for piece in pieces), "a copy"
    assert [piece.get("more_body", False) for piece in pieces] == [True] * (len(pieces) - 1) + [False]


def test_every_range_against_a_model() -> None:
    for first in [None, *range(6)]:
        for last in [None, *range(6)]:
            text = f"bytes={'' if first is None else first}-{'' if last is None else last}"
            indexes = list(range(4))
            if (first is None and last is None) or (first is not None and last is not None and last < first):
                assert parse_range(text, 4) is None
                continue
            expected = indexes[-last:] if first is None and last else indexes[first:] if last is None else indexes[first : last + 1]
            if first is None and last == 0:
                expected = []
            if expected:
                assert list(parse_range(text, 4) or ()) == expected, text
            else:
                with pytest.raises(RangeNotSatisfiable):
                    parse_range(text, 4)
