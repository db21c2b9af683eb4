"""Every case of RFC 9110 sections 13 and 14 that an immutable artifact meets, asked of the service and through the shipped nginx."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.deployment.test_nginx import NGINX, proxy
from tests.service.serving import POST, live, tiny_app

Part = tuple[int, int | None]
ALL = (0, None)
Fields = list[tuple[str, str]]


@dataclass(frozen=True)
class Case:
    """Fields of a request and what they come to; ``{etag}``, ``{bare}`` (without its quotes), ``{size}`` and ``{last}`` are the artifact's."""

    section: str
    fields: Fields
    status: int
    part: Part = ALL
    """Of the bytes, for 200 and 206."""
    nginx: tuple[int, Part] | None = None
    """Where nginx, which answers from its cache, says something else that is as right."""


def ranged(text: str, status: int, part: Part = ALL, nginx: tuple[int, Part] | None = None) -> Case:
    return Case("14.1.2", [("range", text)], status, part, nginx)


def known(text: str, status: int) -> Case:
    return Case("13.1.2", [("if-none-match", text)], status)


def resumed(validator: str, status: int, part: Part = ALL) -> Case:
    return Case("13.1.5", [("range", "bytes=10-"), ("if-range", validator)], status, part)


CASES = [
    ranged("bytes=0-0", 206, (0, 1)),
    ranged("bytes=0-499", 206, (0, 500)),
    ranged("bytes=500-999", 206, (500, 1000)),
    ranged("bytes=10-", 206, (10, None)),
    ranged("bytes=-1", 206, (-1, None)),
    ranged("bytes=-500", 206, (-500, None)),
    ranged("bytes={last}-", 206, (-1, None)),
    ranged("bytes={last}-{last}", 206, (-1, None)),
    ranged("bytes=0-{last}", 206),
    ranged("bytes=0-{size}", 206),
    ranged("bytes=0-", 206),
    ranged("bytes=-{size}", 206),
    ranged("bytes=-99999999", 206),
    ranged("bytes=5-99999999", 206, (5, None)),
    ranged("bytes={size}-", 416),
    ranged("bytes={size}-{size}", 416),
    ranged("bytes=99999999-", 416),
    ranged("bytes=-0", 416),
    ranged("bytes=5-4", 200, nginx=(416, ALL)),
    ranged("bytes=a-b", 200, nginx=(416, ALL)),
    ranged("bytes=", 200),
    ranged("bytes=-", 200, nginx=(416, ALL)),
    ranged("bytes=1", 200, nginx=(416, ALL)),
    ranged("bytes", 200),
    ranged("lines=0-1", 200),
    ranged("bytes 0-1", 200),
    ranged("bytes=0-1,5-6", 200),
    ranged("bytes=0-1,1-2", 200),
    ranged("bytes=0-1,,5-6", 200, nginx=(416, ALL)),
    ranged("bytes=0-,-1", 200),
    ranged("bytes=0-1,99999999-", 200, nginx=(206, (0, 2))),
    ranged("bytes=99999999-,99999999-", 200, nginx=(416, ALL)),
    known("{etag}", 304),
    known("W/{etag}", 304),
    known('"a", {etag}', 304),
    known('{etag}, "a"', 304),
    known('"a",W/{etag} ,"b"', 304),
    known("*", 304),
    known('"a"', 200),
    known('W/"a"', 200),
    known("{bare}", 200),
    known('"{bare}x"', 200),
    resumed("{etag}", 206, (10, None)),
    resumed('"a"', 200),
    resumed("W/{etag}", 200),
    resumed("Sun, 06 Nov 1994 08:49:37 GMT", 200),
    Case("13.1.5", [("if-range", "{etag}")], 200),
    Case("13.1.5", [("if-range", '"a"'), ("range", "bytes=99999999-")], 200),
    Case("13.1.5", [("if-range", "{etag}"), ("range", "bytes=99999999-")], 416),
    Case("13.2.2", [("if-none-match", "{etag}"), ("range", "bytes=0-1")], 304),
    Case("13.2.2", [("if-none-match", '"a"'), ("range", "bytes=0-1")], 206, (0, 2)),
    Case("13.2.2", [("if-none-match", "{etag}"), ("range", "bytes=99999999-")], 304),
    Case("13.2.2", [("if-none-match", "{etag}"), ("if-range", '"a"'), ("range", "bytes=0-1")], 304),
    Case("13.2.2", [("if-none-match", '"a"'), ("if-range", '"a"'), ("range", "bytes=0-1")], 200),
    Case("13.1.3", [("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT")], 200),
    Case("13.1.3", [("if-modified-since", "no date")], 200),
    Case("13.1.3", [("if-none-match", '"a"'), ("if-modified-since", "Sun, 06 Nov 2094 08:49:37 GMT")], 200),
    Case("5.3", [("if-none-match", '"a"'), ("if-none-match", "{etag}")], 304, nginx=(400, ALL)),
]
HERE = "service"
THERE = "nginx"


@dataclass(frozen=True)
class Held:
    """An artifact and who has it."""

    client: httpx.Client
    url: str
    data: bytes

    def ask(self, method: str, fields: Fields) -> httpx.Response:
        etag = f'"{self.url.rpartition("/")[2]}"'
        names = {"etag": etag, "bare": etag.strip('"'), "size": len(self.data), "last": len(self.data) - 1}
        return self.client.request(method, self.url, headers=[(name, text.format(**names)) for name, text in fields])


@pytest.fixture(scope="module", params=[HERE, pytest.param(THERE, marks=pytest.mark.skipif(not NGINX, reason="nginx is not installed"))])
def held(request: pytest.FixtureRequest, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    """By the service, and by the shipped nginx before it, which has it in its cache."""
    with live(tiny_app(models)) as base, httpx.Client(base_url=base, timeout=60) as client:
        made = client.post(POST, json={"compression": 0.5}).raise_for_status()
        if request.param == HERE:
            yield Held(client, made.headers["content-location"], made.content)
            return
        with proxy(tmp_path_factory.mktemp("nginx"), [httpx.URL(base).port or 0]) as before:
            before.get(made.headers["content-location"]).raise_for_status()
            yield Held(before, made.headers["content-location"], made.content)


@pytest.mark.parametrize("case", CASES, ids=lambda case: " ".join([case.section, *(f"{name}: {text}" for name, text in case.fields)]))
def test_every_case(held: Held, case: Case, request: pytest.FixtureRequest) -> None:
    answer = held.ask("GET", case.fields)
    at_nginx = request.node.callspec.params["held"] == THERE
    status, part = (case.nginx if at_nginx else None) or (case.status, case.part)
    assert answer.status_code == status
    if status == 206:
        start, stop, _ = slice(*part).indices(len(held.data))
        assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(held.data)}"
    if status in (200, 206):
        assert answer.content == held.data[slice(*part)]
        assert answer.headers["content-length"] == str(len(answer.content))
    if status == 416:
        assert answer.headers["content-range"] == f"bytes */{len(held.data)}"
    if status == 304:
        assert answer.content == b""
    if status < 400:
        assert answer.headers["etag"] == f'"{held.url.rpartition("/")[2]}"'


@pytest.mark.parametrize("case", CASES, ids=lambda case: " ".join([case.section, *(f"{name}: {text}" for name, text in case.fields)]))
def test_head_is_the_same_without_ranges(held: Held, case: Case) -> None:
    """Range is defined for GET alone (14.2)."""
    fields = [field for field in case.fields if field[0] not in ("range", "if-range")]
    answer, got = held.ask("HEAD", fields), held.ask("GET", fields)
    assert (answer.status_code, answer.content) == (got.status_code, b"")
    for name in ("etag", "content-length", "cache-control", "accept-ranges"):
        assert answer.headers.get(name) == got.headers.get(name)


def test_the_connection_is_in_step_after_all_of_them(held: Held) -> None:
    for case in CASES:
        held.ask("GET", case.fields)
    assert held.client.get(held.url).content == held.data
