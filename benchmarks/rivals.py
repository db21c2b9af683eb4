"""What the service is measured against: the least that Starlette and FastAPI need to send the same bytes.

python benchmarks/rivals.py starlette|fastapi FILE PORT
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

PATH = "/blob"
ETAG = '"rival"'


class Selection(BaseModel):
    compression: float


def starlette_app(data: bytes) -> ASGIApp:
    """GET the bytes, or 304 with ``ETAG`` in If-None-Match."""

    async def blob(request: Request) -> Response:
        if request.headers.get("if-none-match") == ETAG:
            return Response(status_code=304, headers={"etag": ETAG})
        return Response(data, media_type="application/octet-stream", headers={"etag": ETAG})

    return Starlette(routes=[Route(PATH, blob)])


def fastapi_app(data: bytes) -> ASGIApp:
    """POST a validated selection, get the bytes."""
    app = FastAPI()

    @app.post(PATH, response_class=Response)
    async def blob(_: Selection) -> Response:
        return Response(data, media_type="application/octet-stream")

    return app


APPS = {"starlette": starlette_app, "fastapi": fastapi_app}

if __name__ == "__main__":
    kind, file, port = sys.argv[1:]
    app = APPS[kind](Path(file).read_bytes())
    # As the service: a rival with more to do for each request would be no measure.
    gc.collect()
    gc.freeze()
    uvicorn.run(app, port=int(port), log_config=None, access_log=False, proxy_headers=False, server_header=False)
