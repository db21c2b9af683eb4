"""An immutable artifact as an HTTP response: validators, ranges and digests (RFC 9110 sections 8.8, 13 and 14; RFC 9530)."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from neumeta_service.cache import Entry
from neumeta_service.errors import PreconditionFailed, RangeNotSatisfiable

MEDIA_TYPE = "application/octet-stream"
PIECE_BYTES = 4 * 1024 * 1024
"""Most of a body that waits at once for a client that reads slowly."""
_IMMUTABLE = "public, max-age=31536000, immutable, no-transform"
_CONDITIONS = {b"if-match", b"if-none-match", b"if-range", b"range"}
_ENTITY_TAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_RANGE = re.compile("([0-9]*)-([0-9]*)")

Header = tuple[bytes, bytes]


class BlobResponse(Response):
    """Bytes as they are, with headers that were encoded before: neither is copied.

    A long body goes out in views of ``PIECE_BYTES``. The server takes the next one when the client has read most of the last, so a slow
    client holds one piece in the server's buffer instead of all the rest.
    """

    def __init__(self, headers: Sequence[Header], data: bytes | memoryview = b"", status: int = 200) -> None:
        # Starlette's own constructor would encode all headers again.
        self.status_code = status
        self.background = None
        self.body = data
        self.raw_headers = [*headers]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send it (ASGI)."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if len(self.body) <= PIECE_BYTES:
            await send({"type": "http.response.body", "body": self.body})
            return
        view = memoryview(self.body)
        for start in range(0, len(view), PIECE_BYTES):
            stop = start + PIECE_BYTES
            await send({"type": "http.response.body", "body": view[start:stop], "more_body": stop < len(view)})


def whole_response(entry: Entry, *, is_signed: bool = False) -> BlobResponse:
    """All bytes, as the answer to a POST; ``is_signed`` says that there is a signature of them, and where."""
    headers = _headers(entry)
    return BlobResponse(headers.signed_post if is_signed else headers.post, entry.data)


def blob_response(entry: Entry, request: Request) -> BlobResponse:
    """The answer to a GET or HEAD of the artifact itself; raises PreconditionFailed and RangeNotSatisfiable, in the order of RFC 9110 13.2.2."""
    headers, conditions = _headers(entry), _conditions(request)
    if b"if-match" in conditions and not _names(conditions[b"if-match"], entry, strong=True):
        raise PreconditionFailed(conditions[b"if-match"], entry.digest)
    if _names(conditions.get(b"if-none-match", ""), entry):
        return BlobResponse(headers.not_modified, status=304)
    if request.method == "HEAD":
        return BlobResponse(headers.whole)
    part = _part(conditions, entry)
    if part is None:
        return BlobResponse(headers.whole, entry.data)
    lengths = [
        (b"content-length", b"%d" % len(part)),
        (b"content-range", b"bytes %d-%d/%d" % (part.start, part.stop - 1, len(entry.data))),
    ]
    return BlobResponse([*headers.part, *lengths], memoryview(entry.data)[part.start : part.stop], 206)


def parse_range(text: str, size: int) -> range | None:
    """The bytes that a ``Range`` header asks for (RFC 9110 section 14.1.2).

    None when it is not valid, has another unit or several ranges: then it is ignored and the whole is sent. Raises
    RangeNotSatisfiable when it is valid and none of its bytes exist.
    """
    unit, _, ranges = text.partition("=")
    wanted = [item for item in (item.strip(" \t") for item in ranges.split(",")) if item]
    match = _RANGE.fullmatch(wanted[0]) if unit.strip(" \t").lower() == "bytes" and len(wanted) == 1 else None
    if match is None:
        return None
    first, last = _number(match[1]), _number(match[2])
    if (first is None and last is None) or (first is not None and last is not None and last < first):
        return None
    if first is None:
        assert last is not None
        part = range(max(0, size - last), size)
    else:
        part = range(first, size if last is None else min(last + 1, size))
    if not part:
        raise RangeNotSatisfiable(text[:100], size)
    return part


def _number(digits: str) -> int | None:
    # Beyond 18 digits the value no longer matters, and very long ones cannot be converted.
    return min(int(digits.lstrip("0")[:19] or "0"), 10**18) if digits else None


def _conditions(request: Request) -> dict[bytes, str]:
    """The fields that decide how much is sent, by name; several of one name are one list (RFC 9110 section 5.3)."""
    found: dict[bytes, str] = {}
    for name, value in request.scope["headers"]:
        if name in _CONDITIONS:
            text = value.decode("latin-1")
            found[name] = f"{found[name]}, {text}" if name in found else text
    return found


def _part(conditions: dict[bytes, str], entry: Entry) -> range | None:
    text = conditions.get(b"range")
    if not text or conditions.get(b"if-range", _etag(entry)) != _etag(entry):
        return None
    return parse_range(text, len(entry.data))


def _names(tags: str, entry: Entry, *, strong: bool = False) -> bool:
    """Whether a list of entity tags names this artifact; a strong comparison takes no weak ones (RFC 9110 section 8.8.3.2)."""
    return tags.strip() == "*" or any(tag == _etag(entry) and not (strong and weak) for weak, tag in _ENTITY_TAG.findall(tags))


def _etag(entry: Entry) -> str:
    return f'"{entry.digest}"'


class _Headers(NamedTuple):
    """What the responses with one artifact have in common, encoded."""

    post: tuple[Header, ...]
    signed_post: tuple[Header, ...]
    whole: tuple[Header, ...]
    part: tuple[Header, ...]
    not_modified: tuple[Header, ...]


def _headers(entry: Entry) -> _Headers:
    return _encoded(entry.digest, entry.filename, len(entry.data))


@lru_cache(maxsize=4096)
def _encoded(digest: str, filename: str, size: int) -> _Headers:
    sha256 = base64.b64encode(bytes.fromhex(digest.removeprefix("sha256:")))
    etag = (b"etag", f'"{digest}"'.encode())
    described = (
        etag,
        (b"repr-digest", b"sha-256=:%b:" % sha256),
        (b"content-disposition", f'attachment; filename="{filename}"'.encode()),
        (b"content-type", MEDIA_TYPE.encode()),
    )
    length = (b"content-length", b"%d" % size)
    immutable = (b"cache-control", _IMMUTABLE.encode())
    posted = (
        (b"cache-control", b"no-cache, no-transform"),
        (b"content-location", f"/v1/artifacts/{digest}".encode()),
        (b"vary", b"Accept"),
    )
    part = (*described, immutable, (b"accept-ranges", b"bytes"))
    # RFC 8288; the relation is "describedby" of IANA's registry.
    link = (b"link", f'</v1/artifacts/{digest}/signature>; rel="describedby"; type="application/json"'.encode())
    post = (*described, length, *posted)
    return _Headers(post, (*post, link), (*part, length), part, (etag, immutable))
