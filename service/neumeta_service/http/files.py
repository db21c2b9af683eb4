"""Files of pages."""

from __future__ import annotations

import re

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from neumeta_service.errors import RangeNotSatisfiable
from neumeta_service.http.blob import parse_range

_PLAIN = re.compile(rb"bytes=[0-9]{0,18}-[0-9]{0,18}")


class PageFiles(StaticFiles):
    """Starlette's, but a ``Range`` that is not valid, of another unit or of several ranges is ignored (RFC 9110 section 14.2), and not answered
    with 400.
    """

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, of which this scope then sends what was asked for."""
        scope["headers"] = [field for field in scope["headers"] if field[0] != b"range" or _is_range(field[1])]
        return await super().get_response(path, scope)


def _is_range(value: bytes) -> bool:
    if not _PLAIN.fullmatch(value):
        return False
    try:
        return parse_range(value.decode("ascii"), 10**18) is not None
    except RangeNotSatisfiable:
        return True
