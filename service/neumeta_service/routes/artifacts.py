"""Artifacts by digest."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from neumeta_service import present
from neumeta_service.deps import EngineDep
from neumeta_service.openapi import BYTES, answer, problems

router = APIRouter(prefix="/v1/artifacts", tags=["artifacts"])
RESPONSES = (
    answer(BYTES)
    | answer(BYTES, 206, description="The range that was asked for.")
    | answer({}, 304, description="The client has it already.")
    | problems("artifact_gone", "range_not_satisfiable", "build_failed")
)


@router.head("/{digest}", response_class=Response, responses=RESPONSES, name="head_artifact")
@router.get("/{digest}", response_class=Response, responses=RESPONSES)
async def get_artifact(digest: str, request: Request, engine: EngineDep) -> Response:
    """The bytes of an artifact that was made before; `digest` is `sha256:` and 64 hexadecimal digits."""
    return present.artifact(request, await engine.find(digest))
