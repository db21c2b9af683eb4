"""The interactive page of the API. It and all its parts come from the service itself, so it works on a network without a way out."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI
from starlette.responses import HTMLResponse, Response

from neumeta_service.http.files import PageFiles
from neumeta_service.http.security_headers import PAGE

_ASSETS = f"{PAGE}/assets"
# Addresses in the page are relative, for proxies that serve it below a path of their own.
_HTML = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>NeuMeta</title>
<link rel="icon" href="{_ASSETS[1:]}/favicon.png">
<link rel="stylesheet" href="{_ASSETS[1:]}/swagger-ui.css">
</head>
<body>
<div id="page"></div>
<script src="{_ASSETS[1:]}/swagger-ui-bundle.js"></script>
<script src="{PAGE[1:]}/start.js"></script>
</body>
</html>
"""
_START = 'SwaggerUIBundle({dom_id: "#page", url: "openapi.json", presets: [SwaggerUIBundle.presets.apis]});\n'
router = APIRouter(include_in_schema=False)


@router.get(PAGE)
async def get_docs() -> Response:
    """The page."""
    return HTMLResponse(_HTML)


@router.get(f"{PAGE}/start.js")
async def get_docs_start() -> Response:
    """Its one own script: a file, as the page's policy runs nothing that stands in the page."""
    return Response(_START, media_type="text/javascript")


def install(app: FastAPI) -> None:
    """Add Swagger UI's files, from a package that carries them."""
    app.include_router(router)
    app.mount(_ASSETS, PageFiles(packages=[("fastapi_offline", "static")]))
