"""Artifacts by digest."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from neumeta_service.errors import NotSigned
from neumeta_service.http import present
from neumeta_service.http.deps import EngineDep, waiting_for
from neumeta_service.http.openapi import BYTES, Responses, answer, problems
from neumeta_service.http.schemas import SignatureDocument

PREFIX = "/v1/artifacts"
router = APIRouter(prefix=PREFIX, tags=["artifacts"])
RESPONSES = (
    answer(BYTES)
    | answer(BYTES, 206, description="The range that was asked for.")
    | answer({}, 304, description="The client has it already.")
    | problems("artifact_gone", "precondition_failed", "range_not_satisfiable", "overloaded", "deadline_exceeded", "build_failed")
)


SIGNATURE_RESPONSES: Responses = {200: {"description": "As asked for.", "model": SignatureDocument}}
SIGNATURE_RESPONSES |= problems("artifact_gone", "not_signed", "overloaded", "deadline_exceeded", "build_failed")


@router.head("/{digest}", response_class=Response, responses=RESPONSES, name="head_artifact")
@router.get("/{digest}", response_class=Response, responses=RESPONSES)
async def get_artifact(digest: str, request: Request, engine: EngineDep) -> Response:
    """The bytes of an artifact that was made before; `digest` is `sha256:` and 64 hexadecimal digits."""
    return present.artifact(request, await engine.find(digest, waiting_for(request)))


@router.get("/{digest}/signature", response_class=Response, responses=SIGNATURE_RESPONSES)
async def get_signature(digest: str, request: Request, engine: EngineDep) -> Response:
    """The manifest of an artifact, signed: an envelope and the certificates that lead from its key to a root."""
    if not engine.signs:
        raise NotSigned
    delivery = await engine.find(digest, waiting_for(request))
    return present.signature(request, delivery, engine.signature(delivery.entry))
