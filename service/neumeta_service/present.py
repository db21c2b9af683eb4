"""What the engine and the catalog know, as HTTP responses and documents."""

from __future__ import annotations

from neumeta_core.configuration import uniform
from neumeta_core.manifest import JsonObject
from neumeta_core.manifold import Manifold
from neumeta_core.precision import PRECISIONS
from starlette.requests import Request
from starlette.responses import Response

from neumeta_service.blob import blob_response, whole_response
from neumeta_service.catalog import Catalog
from neumeta_service.engine import Delivery
from neumeta_service.schemas import (
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
    SamplesDocument,
)

_MAX_SAMPLES = 16


def member(request: Request, delivery: Delivery) -> Response:
    """The bytes that a POST asked for."""
    return _traced(request, whole_response(delivery.entry), delivery)


def manifest(request: Request, delivery: Delivery, document: bytes) -> Response:
    """The manifest that a POST asked for."""
    return _traced(request, Response(document, media_type="application/json", headers={"vary": "Accept"}), delivery)


def artifact(request: Request, delivery: Delivery) -> Response:
    """The bytes that a GET asked for, or as much of them as it needs."""
    return _traced(request, blob_response(delivery.entry, request), delivery)


def _traced(request: Request, response: Response, delivery: Delivery) -> Response:
    """Say where the artifact came from: to the client (RFC 9211, Server-Timing) and to the log line."""
    tier, state = delivery.tier, request.scope.setdefault("state", {})
    found = "fwd=miss" if tier == "built" else "hit"
    timing = ", ".join(f"{stage};dur={1000 * seconds:.1f}" for stage, seconds in delivery.seconds.items())
    response.raw_headers += [(b"cache-status", f"neumeta; {found}; detail={tier}".encode()), (b"server-timing", timing.encode())]
    state["outcome"], state["key"] = tier, delivery.entry.origin.key
    return response


def model_list(catalog: Catalog) -> ModelList:
    """Ready and refused versions, by name."""
    ready = [
        ModelSummary(
            name=manifold.header.name,
            version=manifold.header.version,
            state="ready",
            task=manifold.header.task,
            digest=manifold.digest,
            size=manifold.size,
            max_compression=manifold.architecture.max_compression,
            url=f"/v1/models/{manifold.header.name}",
        )
        for manifold in catalog
    ]
    refused = [ModelSummary(name=refusal.name, version=refusal.version, state="refused", reason=refusal.reason) for refusal in catalog.refusals]
    return ModelList(models=sorted([*ready, *refused], key=lambda summary: (summary.name, summary.version)))


def model(manifold: Manifold) -> ModelDocument:
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
            "curve_url": f"/v1/models/{header.name}/curve",
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
    return SamplesDocument(inputs=inputs.flatten(1).double().tolist(), labels=labels.tolist())


def curve(manifold: Manifold) -> CurveDocument:
    """The curve in the manifold file; empty when there is none."""
    header, measured = manifold.header, manifold.header.curve
    if measured is None:
        return CurveDocument(model=header.name, version=header.version)
    points = [CurvePointDocument(**point.model_dump(mode="json")) for point in measured.points]
    return CurveDocument(
        model=header.name, version=header.version, metric=measured.metric, split=measured.split, samples=measured.samples, points=points
    )
