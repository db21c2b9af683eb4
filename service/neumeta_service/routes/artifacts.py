"""Artifacts by digest."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response

from neumeta_service import present
from neumeta_service.deps import PlainRoute, engine_of
from neumeta_service.openapi import BYTES, answer, problems

RESPONSES = (
    answer(BYTES)
    | answer(BYTES, 206, description="The range that was asked for.")
    | answer({}, 304, description="The client has it already.")
    | problems("artifact_gone", "range_not_satisfiable", "build_failed")
)


def install(app: FastAPI) -> None:
    """Add the routes to the app itself: those of an included router cost several times as much to find."""
    for method, name in (("GET", "get_artifact"), ("HEAD", "head_artifact")):
        app.router.add_api_route(
            "/v1/artifacts/{digest}",
            get_artifact,
            methods=[method],
            name=name,
            tags=["artifacts"],
            response_class=Response,
            responses=RESPONSES,
            route_class_override=PlainRoute,
        )


async def get_artifact(request: Request, digest: str) -> Response:
    """The bytes of an artifact that was made before; `digest` is `sha256:` and 64 hexadecimal digits."""
    return present.artifact(request, await engine_of(request).find(digest))
