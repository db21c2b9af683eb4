"""Paths, names, digests and fields that somebody hopes to get out of their folder: each is a 4xx in problem form, never a 5xx or a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.faults.raw import Wire
from tests.service.serving import POST, live, tiny_app

SECRET = b"the operator's own file"
TRAVERSALS = [
    "../../../../etc/passwd",
    "..%2f..%2fsecret",
    "%2e%2e/%2e%2e/secret",
    "..%252f..%252fsecret",
    "..%c0%af..%c0%afsecret",
    "..\\..\\secret",
    "..%5c..%5csecret",
    "....//....//secret",
    "%00",
    "tiny%00.json",
    "tiny/../../secret",
    "tiny%2f..%2f..%2fsecret",
    "file:///etc/passwd",
    "http:%2f%2f127.0.0.1%2f",
    "~root",
    "%ff%fe",
    "%e2%80%ae",
    "٣",
    "TINY",
    "tiny%20",
    "tiny%0d%0aset-cookie:%20a=b",
    "$%7bjndi:ldap:%2f%2f127.0.0.1%2f%7d",
    "%7b%7b7*7%7d%7d",
    "';drop table models;--",
    "a" * 5000,
]
DIGESTS = [
    "sha256:",
    "sha256:" + "0" * 63,
    "sha256:" + "0" * 65,
    "sha256:" + "F" * 64,
    "sha256:" + "0" * 64 + "%0a",
    "sha256:" + "0" * 62 + "..",
    "SHA256:" + "0" * 64,
    "sha256%3a" + "0" * 64,
    "sha512:" + "0" * 128,
    "sha256:" + "٣" * 64,
    "md5:d41d8cd98f00b204e9800998ecf8427e",
    "*",
    "nm:v1:digest:*",
    "sha256:" + "0" * 64 + "/../../models",
]
NAMES_IN_BODIES = ["__proto__", "constructor", "../../secret", "\x00", "\ud800", "conv1\n", "${x}", "a" * 5000]
FIELDS = {
    "accept": [b"../../etc/passwd", b"*/*;q=" + b"9" * 1000, b"," * 5000, b"application/json" * 300, b"\xff\xfe", b"a/b;q=nan"],
    "content-type": [b"../../etc/passwd", b"application/json;charset=\xff", b"multipart/form-data; boundary=x", b"\xff"],
    "x-request-id": [b"../../etc/passwd", b"a" * 65, b"a b", b"\xff", b"", b"${jndi:ldap://127.0.0.1/}"],
    "range": [b"bytes=" + b"0-1," * 2000, b"bytes=" + b"9" * 6000 + b"-", b"\xff", b"bytes=0-\xb2", b"=" * 100],
    "if-none-match": [b'"' * 5000, b"W/" * 3000, b'"a",' * 1500, b"\xff\xfe"],
    "if-range": [b"\xff", b'W/"', b"a" * 6000],
    "host": [b"", b"evil.example", b"127.0.0.1:99999", b"a" * 3000, b"../../"],
    "forwarded": [b"for=evil;host=evil;proto=javascript"],
    "x-forwarded-for": [b"' or 1=1", b"\xff"],
    "x-original-url": [b"/metrics"],
    "x-http-method-override": [b"DELETE"],
    "connection": [b"x-request-id, close", b"upgrade"],
}
SHORT = {TRAVERSALS[1], TRAVERSALS[8], DIGESTS[0], DIGESTS[11], NAMES_IN_BODIES[0], NAMES_IN_BODIES[4]}


@pytest.fixture(scope="module")
def base(models: Path) -> Iterator[str]:
    (models.parent / "secret").write_bytes(SECRET)
    (models / "secret").write_bytes(SECRET)
    with live(tiny_app(models)) as served:
        yield served


def table(values: list[str]) -> list[object]:
    return [pytest.param(value, id=ascii(value[:40]), marks=[] if value in SHORT else [pytest.mark.slow]) for value in values]


def target(base: str, method: str, path: str) -> list[int]:
    """Statuses for a path that goes out as it is."""
    return Wire(base).say(f"{method} {path} HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n\r\n".encode())


@pytest.mark.parametrize("name", table(TRAVERSALS))
def test_a_name_leads_nowhere(base: str, name: str) -> None:
    for method, path in [
        ("GET", f"/v1/models/{name}"),
        ("GET", f"/v1/models/{name}/curve"),
        ("POST", f"/v1/models/{name}/materialize"),
        ("GET", f"/{name}"),
    ]:
        refused, *rest = target(base, method, path)
        assert 400 <= refused < 500, (method, path)
        assert rest in ([], [200])


@pytest.mark.parametrize("digest", table([*DIGESTS, *TRAVERSALS]))
def test_a_digest_leads_nowhere(base: str, digest: str) -> None:
    for method in ("GET", "HEAD", "DELETE", "PUT"):
        refused, *rest = target(base, method, f"/v1/artifacts/{digest}")
        assert 400 <= refused < 500, method
        assert rest in ([], [200])


@pytest.mark.parametrize("name", table(NAMES_IN_BODIES))
def test_a_name_in_a_body_is_a_value_and_nothing_else(base: str, name: str) -> None:
    with httpx.Client(base_url=base, timeout=60, headers={"content-type": "application/json"}) as client:
        for body in ({"widths": {name: 4}}, {name: 1}, {"compression": 0.5, "precision": name}, {"budget": {name: 1}}):
            answer = client.post(POST, content=json.dumps(body))
            assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
            assert SECRET not in answer.content


@pytest.mark.parametrize("field", [pytest.param(name, marks=[] if name in ("accept", "range") else [pytest.mark.slow]) for name in FIELDS])
def test_a_field_is_read_or_ignored(base: str, field: str) -> None:
    with httpx.Client(base_url=base, timeout=60) as client:
        made = client.post(POST, json={"compression": 0.5})
        for value in FIELDS[field]:
            asked = client.get(made.headers["content-location"], headers={field.encode(): value})
            assert (asked.status_code in (200, 206) and asked.content in made.content) or 400 <= asked.status_code < 500, value
            posted = client.post(POST, json={"compression": 0.5}, headers={field.encode(): value})
            assert (posted.status_code == 200 and (posted.content == made.content or posted.json()["digest"] in made.headers["etag"])) or (
                400 <= posted.status_code < 500
            ), value
            for answer in (asked, posted):
                assert len(answer.headers["x-request-id"]) <= 64
                assert SECRET not in answer.content
