"""What an operator asks of a running service."""

from __future__ import annotations

from fastapi import APIRouter, Request

from neumeta_service.catalog.reloads import Reloads
from neumeta_service.http import present
from neumeta_service.http.openapi import problems
from neumeta_service.http.schemas import ReloadDocument

router = APIRouter(prefix="/v1/admin", tags=["admin"])


@router.post("/reload", responses=problems("store_unavailable"))
async def reload_models(request: Request) -> ReloadDocument:
    """Serve what lies in the models folder now; requests in flight go on with what they hold."""
    reloads: Reloads = request.app.state.reloads
    return present.changes(await reloads.run())
