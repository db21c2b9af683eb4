"""The plan of a member and the manifest of its artifact: what a client is told, as JSON (docs/http-api.md)."""

from __future__ import annotations

from neumeta_core.blueprint import Blueprint
from neumeta_core.configuration import effective_compression
from neumeta_core.cost import cost_of
from neumeta_core.spec import BUILDER_VERSION, Spec

JsonObject = dict[str, object]


def plan_of(blueprint: Blueprint, spec: Spec, size: int) -> JsonObject:
    """What is known of a member before it is made; its artifact has ``size`` bytes. ``compression.requested`` is left None."""
    return {
        "model": spec.model,
        "version": spec.version,
        "spec": spec.as_dict(),
        "spec_digest": spec.digest,
        "compression": {"requested": None, "effective": effective_compression(blueprint.architecture, spec.widths)},
        "cost": cost_of(blueprint.architecture, spec.widths).as_dict() | {"bytes": size},
        "quality": blueprint.quality(spec.widths, spec.precision).model_dump(),
    }


def manifest_of(blueprint: Blueprint, spec: Spec, digest: str, size: int) -> JsonObject:
    """The manifest of the artifact ``digest`` (``sha256:…``) of ``size`` bytes; ``compression.requested`` is left None."""
    header = blueprint.header
    return plan_of(blueprint, spec, size) | {
        "digest": digest,
        "size": size,
        "url": f"/v1/artifacts/{digest}",
        "filename": filename_of(blueprint, spec, digest),
        "input": header.input.model_dump(mode="json"),
        "output": header.output.model_dump(mode="json"),
        "labels": list(header.labels),
        "builder": BUILDER_VERSION,
    }


def filename_of(blueprint: Blueprint, spec: Spec, digest: str) -> str:
    """The name of an artifact's file, wherever it is saved."""
    effective = effective_compression(blueprint.architecture, spec.widths)
    return f"{spec.model}-{spec.version}-c{effective:.3f}-{spec.precision}-{digest[7:19]}.onnx"
