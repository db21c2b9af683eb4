"""The explorer page, built by ``make explorer`` from clients/web into this package."""

from __future__ import annotations

import re
from mimetypes import guess_type
from pathlib import Path

from fastapi import FastAPI, Request, Response
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import Scope

from neumeta_service.errors import ExplorerMissing
from neumeta_service.http.files import PageFiles

_GZIP = re.compile(r"(?:^|,)\s*gzip\s*(?:,|;\s*q=(?:1|0?\.[0-9]*[1-9])|$)", re.IGNORECASE)
FOLDER = Path(__file__).parents[1] / "explorer"


class _Assets(PageFiles):
    """Files whose names hold a digest of their content; FILE.gz goes in the place of FILE to whoever takes gzip (RFC 9110, section 12.5.3)."""

    async def check_config(self) -> None:
        """A folder that is not there has no files; that is no fault of a request."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await self._compressed(path, scope) or await super().get_response(path, scope)
        response.headers["vary"] = "accept-encoding"
        response.headers["cache-control"] = "public, max-age=31536000, immutable"
        return response

    async def _compressed(self, path: str, scope: Scope) -> Response | None:
        if not _GZIP.search(Headers(scope=scope).get("accept-encoding", "")):
            return None
        try:  # Not lookup_path: it reads the disk in the event loop, and raises for paths that no file can have.
            response = await super().get_response(f"{path}.gz", scope)
        except HTTPException:
            return None
        response.headers["content-type"] = guess_type(path)[0] or "application/octet-stream"
        response.headers["content-encoding"] = "gzip"
        return response


def install(app: FastAPI, folder: Path = FOLDER) -> None:
    """Add ``/`` and ``/assets``; without a built page ``/`` says how to build one."""
    page = PageFiles(directory=folder, check_dir=False)

    @app.get("/", include_in_schema=False)
    async def get_explorer(request: Request) -> Response:
        if not (folder / "index.html").is_file():
            raise ExplorerMissing
        response = await page.get_response("index.html", request.scope)
        response.headers["cache-control"] = "no-cache"
        return response

    app.mount("/assets", _Assets(directory=folder / "assets", check_dir=False), name="explorer_assets")
