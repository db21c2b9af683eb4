"""What models there are, and their members."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI, Request, Response

from neumeta_service.catalog.aliases import LATEST
from neumeta_service.http import present
from neumeta_service.http.deps import JSON, DeclaredRoute, EngineDep, NegotiatedRoute, engine_of, waiting_for
from neumeta_service.http.openapi import BYTES, OF_A_SELECTION, answer, problems
from neumeta_service.http.schemas import (
    CurveDocument,
    ManifestDocument,
    MaterializeRequest,
    ModelDocument,
    ModelList,
    PlanDocument,
    SamplesDocument,
    VersionList,
)

PREFIX = "/v1/models"
router = APIRouter(prefix=PREFIX, tags=["models"])


@router.get("")
async def list_models(engine: EngineDep) -> ModelList:
    """Every version of every model that was found, ready or refused with the reason."""
    return present.model_list(engine.catalog)


@router.get("/{name}", responses=problems("model_not_found", "version_not_found", "model_refused"))
async def get_model(name: str, engine: EngineDep, version: str = LATEST) -> ModelDocument:
    """Channel groups, limits, costs, input and output, provenance, rungs."""
    catalog = engine.catalog
    return present.model(catalog, catalog.manifold(name, version))


@router.get("/{name}/versions", responses=problems("model_not_found"))
async def list_versions(name: str, engine: EngineDep) -> VersionList:
    """Every version of a model that was found, ready or refused with the reason, and the aliases."""
    return present.version_list(engine.catalog, name)


@router.get("/{name}/curve", responses=problems("model_not_found", "version_not_found", "model_refused"))
async def get_curve(name: str, engine: EngineDep, version: str = LATEST) -> CurveDocument:
    """Measured quality against compression, parameters and multiply-adds."""
    return present.curve(engine.catalog.manifold(name, version))


@router.get("/{name}/samples", responses=problems("model_not_found", "version_not_found", "model_refused"))
async def get_samples(name: str, engine: EngineDep, version: str = LATEST) -> SamplesDocument:
    """A few real inputs, to try a member with."""
    return present.samples(engine.catalog.manifold(name, version))


async def plan(name: str, wanted: MaterializeRequest, engine: EngineDep) -> PlanDocument:
    """What a member would be, cost and be worth; nothing is made for it."""
    return present.plan(engine.plan(await engine.resolve(name, wanted.selection())), wanted.compression)


router.add_api_route(
    "/{name}/plan",
    plan,
    methods=["POST"],
    route_class_override=DeclaredRoute,
    responses=problems(*OF_A_SELECTION),
)


def install(app: FastAPI) -> None:
    """Add materialize to the app itself: the routes of an included router cost several times as much to find."""
    app.router.add_api_route(
        PREFIX + "/{name}/materialize",
        materialize,
        methods=["POST"],
        tags=["models"],
        response_class=Response,
        responses=answer(BYTES, model=ManifestDocument)
        | problems(*OF_A_SELECTION, "not_acceptable", "overloaded", "deadline_exceeded", "build_failed"),
        route_class_override=NegotiatedRoute,
    )


async def materialize(name: str, wanted: MaterializeRequest, request: Request) -> Response:
    """A member of the family: its ONNX bytes, or with `Accept: application/json` its manifest."""
    engine = engine_of(request)
    order = await engine.resolve(name, wanted.selection())
    delivery = await engine.deliver(order, waiting_for(request))
    if request.state.answer_type == JSON:
        assert order.manifold is not None
        return present.manifest(request, delivery, engine.manifest(delivery.entry, order.manifold, wanted.compression))
    return present.member(request, delivery, is_signed=engine.signs)
