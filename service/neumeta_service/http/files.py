"""Files of pages."""

from __future__ import annotations

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope


class WholeFiles(StaticFiles):
    """Starlette's, without ranges: nobody needs a part of a page, and it answers one that it does not understand with 400 instead of ignoring it
    (RFC 9110 section 14.2).
    """

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, which this scope then sends as a whole."""
        scope["headers"] = [field for field in scope["headers"] if field[0] != b"range"]
        response = await super().get_response(path, scope)
        if "accept-ranges" in response.headers:
            response.headers["accept-ranges"] = "none"
        return response
