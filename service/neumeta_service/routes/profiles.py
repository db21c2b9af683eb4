"""Device profiles: what a model's sizes take on which device."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Response
from neumeta_core.errors import InvalidField

from neumeta_service.catalog.aliases import NAME_RULE, is_well_named
from neumeta_service.http.deps import DeclaredRoute, EngineDep
from neumeta_service.http.openapi import OF_A_BODY, Responses, problems
from neumeta_service.profiles.documents import DeviceDocument, ProfileDocument, ProfileList, ProfileRequest, device_document, profile_list

CREATED: Responses = {201: {"description": "Kept, and nothing replaced.", "model": ProfileDocument}}
router = APIRouter(prefix="/v1/models/{name}/profiles", tags=["profiles"])


@router.get("", responses=problems("model_not_found", "model_refused", "store_unavailable"))
async def list_profiles(name: str, engine: EngineDep) -> ProfileList:
    """The devices that were measured, with their lowest and highest latency."""
    engine.catalog.manifold(name)
    return profile_list(name, await engine.profiles.all(name))


@router.get("/{device}", responses=problems("model_not_found", "profile_not_found", "model_refused", "store_unavailable"))
async def get_profile(name: str, device: str, engine: EngineDep) -> DeviceDocument:
    """All that was measured on one device."""
    engine.catalog.manifold(name)
    return device_document(name, device, await engine.profiles.of(name, device))


async def put_profile(name: str, device: str, wanted: ProfileRequest, engine: EngineDep, response: Response) -> ProfileDocument:
    """Keep a profile, in the place of the device's one of that version and precision."""
    manifold = engine.catalog.manifold(name, wanted.version)
    if not is_well_named(device):
        raise InvalidField("device", device, NAME_RULE)
    profile = wanted.profile(manifold)
    response.status_code = HTTPStatus.CREATED if await engine.profiles.put(name, device, profile) else HTTPStatus.OK
    return ProfileDocument.model_validate(profile.model_dump(exclude={"groups"}))


router.add_api_route(
    "/{device}",
    put_profile,
    methods=["PUT"],
    route_class_override=DeclaredRoute,
    responses=CREATED | problems(*OF_A_BODY, "model_not_found", "version_not_found", "too_many_profiles", "model_refused", "store_unavailable"),
)


@router.delete(
    "/{device}", status_code=HTTPStatus.NO_CONTENT, responses=problems("model_not_found", "profile_not_found", "model_refused", "store_unavailable")
)
async def delete_profile(name: str, device: str, engine: EngineDep) -> None:
    """Forget all that was measured on one device."""
    engine.catalog.manifold(name)
    await engine.profiles.remove(name, device)
