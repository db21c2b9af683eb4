"""What the engine and the catalog know, as HTTP responses and documents."""

from __future__ import annotations

from dataclasses import asdict

from neumeta_core.configuration import uniform
from neumeta_core.manifest import JsonObject
from neumeta_core.manifold import Manifold
from neumeta_core.precision import PRECISIONS
from starlette.requests import Request
from starlette.responses import Response

from neumeta_service.catalog.catalog import Catalog
from neumeta_service.catalog.reloads import Changes
from neumeta_service.catalog.store import ALIASES, RUNGS, Release
from neumeta_service.engine import Delivery
from neumeta_service.errors import ModelNotFound
from neumeta_service.http.blob import blob_response, whole_response
from neumeta_service.http.schemas import (
    CostDocument,
    CurveDocument,
    CurvePointDocument,
    GroupDocument,
    InputDocument,
    ModelDocument,
    ModelList,
    ModelSummary,
    OutputDocument,
    PlanDocument,
    RefusalDocument,
    ReleaseDocument,
    ReloadDocument,
    SamplesDocument,
    VersionList,
)

_MAX_SAMPLES = 16


def member(request: Request, delivery: Delivery, *, is_signed: bool) -> Response:
    """The bytes that a POST asked for."""
    return _traced(request, whole_response(delivery.entry, is_signed=is_signed), delivery)


def manifest(request: Request, delivery: Delivery, document: bytes) -> Response:
    """The manifest that a POST asked for."""
    return _traced(request, Response(document, media_type="application/json", headers={"vary": "Accept"}), delivery)


def signature(request: Request, delivery: Delivery, document: bytes) -> Response:
    """The signed manifest of an artifact; caches ask before they use it again, because it is renewed."""
    return _traced(request, Response(document, media_type="application/json", headers={"cache-control": "no-cache"}), delivery)


def artifact(request: Request, delivery: Delivery) -> Response:
    """The bytes that a GET asked for, or as much of them as it needs."""
    return _traced(request, blob_response(delivery.entry, request), delivery)


def _traced(request: Request, response: Response, delivery: Delivery) -> Response:
    """Say where the artifact came from: to the client (RFC 9211, Server-Timing) and to the log line."""
    tier, state = delivery.tier, request.scope.setdefault("state", {})
    found = "fwd=miss" if tier == "built" else "hit"
    timing = ", ".join(f"{stage};dur={1000 * seconds:.1f}" for stage, seconds in delivery.seconds.items())
    response.raw_headers += [(b"cache-status", f"neumeta; {found}; detail={tier}".encode()), (b"server-timing", timing.encode())]
    state["outcome"], state["delivery"] = tier, delivery
    return response


def model_list(catalog: Catalog) -> ModelList:
    """Ready and refused versions, by name."""
    return ModelList(models=_summaries(catalog))


def version_list(catalog: Catalog, name: str) -> VersionList:
    """Ready and refused versions of one model. Raises ModelNotFound when none was found."""
    versions = [summary for summary in _summaries(catalog) if summary.name == name]
    if not versions:
        raise ModelNotFound(name)
    return VersionList(name=name, aliases=dict(catalog.aliases(name)), aliases_refused=catalog.refusal_of(name, ALIASES), versions=versions)


def _summaries(catalog: Catalog) -> list[ModelSummary]:
    """One for each version, whether it is served, refused, or served in place of what was refused."""
    reasons = {(refusal.name, refusal.version): refusal.reason for refusal in catalog.refusals if refusal.version is not None}
    ready = {_release(manifold): _summary(catalog, manifold, reasons.get(_release(manifold))) for manifold in catalog}
    refused = {
        (name, version): ModelSummary(name=name, version=version, state="refused", reason=reason) for (name, version), reason in reasons.items()
    }
    return [summary for _, summary in sorted((refused | ready).items())]


def _release(manifold: Manifold) -> Release:
    return manifold.header.name, manifold.header.version


def _summary(catalog: Catalog, manifold: Manifold, reason: str | None) -> ModelSummary:
    name, version = _release(manifold)
    return ModelSummary(
        name=name,
        version=version,
        state="ready",
        reason=reason,
        task=manifold.header.task,
        digest=manifold.digest,
        size=manifold.size,
        max_compression=manifold.architecture.max_compression,
        url=f"/v1/models/{name}?version={version}",
        aliases=[alias for alias, target in catalog.aliases(name).items() if target == version],
    )


def changes(made: Changes) -> ReloadDocument:
    """What a reload came to."""
    return ReloadDocument(
        added=[ReleaseDocument(name=name, version=version) for name, version in made.added],
        withdrawn=[ReleaseDocument(name=name, version=version) for name, version in made.withdrawn],
        refused=[RefusalDocument(**asdict(refusal)) for refusal in made.refused],
    )


def model(catalog: Catalog, manifold: Manifold) -> ModelDocument:
    """Everything about a model that a client may want to know before it asks for a member."""
    header, architecture = manifold.header, manifold.architecture
    members = {"full": uniform(architecture, 0), "smallest": uniform(architecture, architecture.max_compression)}
    return ModelDocument.model_validate(
        {
            "name": header.name,
            "version": header.version,
            "digest": manifold.digest,
            "size": manifold.size,
            "task": header.task,
            "labels": list(header.labels),
            "input": InputDocument(**header.input.model_dump(mode="json")),
            "output": OutputDocument(**header.output.model_dump(mode="json")),
            "groups": [GroupDocument(**group.model_dump(mode="json")) for group in architecture.groups],
            "max_compression": architecture.max_compression,
            "precisions": list(PRECISIONS),
            "costs": {name: CostDocument(**manifold.cost(member).as_dict()) for name, member in members.items()},
            "inr": header.inr.model_dump(mode="json"),
            "training": header.training,
            "rungs": {name: rung.model_dump(exclude_none=True) for name, rung in catalog.rungs(header.name).items()},
            "rungs_refused": catalog.refusal_of(header.name, RUNGS),
            "curve_url": f"/v1/models/{header.name}/curve?version={header.version}",
        }
    )


def plan(facts: JsonObject, requested: float | None) -> PlanDocument:
    """What a member would be; ``requested`` is the compression that was asked for, if it was one."""
    compression = {"requested": requested, "effective": facts["compression"]["effective"]}  # type: ignore[index]
    return PlanDocument.model_validate(facts | {"compression": compression})


def samples(manifold: Manifold) -> SamplesDocument:
    """The first of the canary's inputs."""
    canary = manifold.canary
    if canary is None:
        return SamplesDocument(inputs=[], labels=[])
    inputs, labels = canary.inputs[:_MAX_SAMPLES], canary.labels[:_MAX_SAMPLES]
    return SamplesDocument(inputs=inputs.flatten(1).tolist(), labels=labels.tolist())


def curve(manifold: Manifold) -> CurveDocument:
    """The curve in the manifold file; empty when there is none."""
    header, measured = manifold.header, manifold.header.curve
    if measured is None:
        return CurveDocument(model=header.name, version=header.version)
    points = [CurvePointDocument(**point.model_dump(mode="json")) for point in measured.points]
    return CurveDocument(
        model=header.name, version=header.version, metric=measured.metric, split=measured.split, samples=measured.samples, points=points
    )
