"""An immutable artifact as an HTTP response: validators, ranges and digests (RFC 9110 sections 8.8, 13 and 14; RFC 9530)."""

from __future__ import annotations

import base64
import re

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from neumeta_service.cache import Entry
from neumeta_service.errors import RangeNotSatisfiable

MEDIA_TYPE = "application/octet-stream"
_IMMUTABLE = "public, max-age=31536000, immutable, no-transform"
_ENTITY_TAG = re.compile(r'(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_RANGE = re.compile("([0-9]*)-([0-9]*)")


def whole_response(entry: Entry) -> Response:
    """All bytes, as the answer to a POST."""
    return Response(entry.data, media_type=MEDIA_TYPE, headers=_headers(entry) | {"cache-control": "no-cache, no-transform"})


def blob_response(entry: Entry, request: Request) -> Response:
    """The answer to a GET or HEAD of the artifact itself; raises RangeNotSatisfiable."""
    size, asked = len(entry.data), request.headers
    headers = _headers(entry) | {"cache-control": _IMMUTABLE, "accept-ranges": "bytes"}
    if _is_known(asked, entry):
        return Response(status_code=304, headers={name: headers[name] for name in ("etag", "cache-control")})
    if request.method == "HEAD":
        return Response(headers=headers | {"content-length": str(size)}, media_type=MEDIA_TYPE)
    part = _part(asked, entry)
    if part is None:
        return Response(entry.data, media_type=MEDIA_TYPE, headers=headers)
    content = memoryview(entry.data)[part.start : part.stop]
    return Response(content, 206, headers | {"content-range": f"bytes {part.start}-{part.stop - 1}/{size}"}, MEDIA_TYPE)


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


def _part(asked: Headers, entry: Entry) -> range | None:
    text = ", ".join(asked.getlist("range"))
    if not text or asked.get("if-range", _etag(entry)) != _etag(entry):
        return None
    return parse_range(text, len(entry.data))


def _is_known(asked: Headers, entry: Entry) -> bool:
    """Whether ``If-None-Match`` names this artifact; weak comparison (RFC 9110 section 13.1.2)."""
    known = ", ".join(asked.getlist("if-none-match"))
    return known.strip() == "*" or _etag(entry) in _ENTITY_TAG.findall(known)


def _etag(entry: Entry) -> str:
    return f'"{entry.digest}"'


def _headers(entry: Entry) -> dict[str, str]:
    sha256 = base64.b64encode(bytes.fromhex(entry.digest.removeprefix("sha256:"))).decode()
    return {
        "etag": _etag(entry),
        "repr-digest": f"sha-256=:{sha256}:",
        "content-disposition": f'attachment; filename="{entry.filename}"',
    }
