"""Liveness, readiness, metrics."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from neumeta_service.errors import Draining, NotReady
from neumeta_service.http.deps import EngineDep
from neumeta_service.http.openapi import TEXT, answer, problems
from neumeta_service.http.schemas import HealthDocument

router = APIRouter(tags=["health"])


@router.get("/livez")
async def get_livez() -> HealthDocument:
    """The process answers. Depends on nothing else."""
    return HealthDocument(status="alive")


@router.get("/readyz", responses=problems("not_ready", "draining"))
async def get_readyz(request: Request, engine: EngineDep) -> HealthDocument:
    """At least one model is loaded, and the process is not about to stop. Redis does not count: without it the service is only slower."""
    if request.app.state.is_draining:
        raise Draining("The service is about to stop; requests that still come are answered.")
    if not len(engine.catalog):
        raise NotReady("No model is loaded; GET /v1/models says what was found.")
    return HealthDocument(status="ready")


@router.get("/metrics", response_class=Response, responses=answer(TEXT))
async def get_metrics(engine: EngineDep) -> Response:
    """Prometheus metrics in the text format."""
    return Response(engine.metrics.render(), headers={"content-type": CONTENT_TYPE_PLAIN_0_0_4})
