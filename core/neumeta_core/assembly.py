"""Weights + template -> the bytes of an ONNX model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import onnx
from torch import Tensor

from neumeta_core import wire
from neumeta_core.blueprint import Blueprint
from neumeta_core.configuration import Configuration
from neumeta_core.cost import cost_of
from neumeta_core.precision.encoding import Encoding
from neumeta_core.spec import BUILDER_VERSION, Spec
from neumeta_core.template import check_arrays, hollow, sizes_of


@dataclass(frozen=True)
class Artifact:
    """The ONNX bytes of a member, named by their digest."""

    data: bytes
    digest: str
    """``sha256:…`` of the bytes."""


def assemble(blueprint: Blueprint, configuration: Configuration, weights: Mapping[str, Tensor], precision: str = "fp32") -> Artifact:
    """The artifact of a member. The same arguments give the same bytes.

    Raises AssemblyError when weights are missing, do not fit or are not finite, WeightTooLarge when this precision cannot hold them,
    InvalidField for a precision that is not known.
    """
    encoding = blueprint.encoding_in(precision)
    model, arrays = hollow(encoding.template, encoding.architecture, configuration), encoding.encode(weights)
    check_arrays(model, encoding.architecture, arrays)
    pieces, _ = _pieces(model, encoding, blueprint, configuration, precision)
    data = wire.join(pieces, arrays)
    return Artifact(data, f"sha256:{hashlib.sha256(data).hexdigest()}")


def artifact_size(blueprint: Blueprint, configuration: Configuration, precision: str = "fp32") -> int:
    """Length in bytes of the artifact that ``assemble`` would make, without making a tensor; see ``Blueprint.encoding_in`` for its errors."""
    encoding = blueprint.encoding_in(precision)
    model = hollow(encoding.template, encoding.architecture, configuration)
    return wire.length(*_pieces(model, encoding, blueprint, configuration, precision))


def _pieces(
    model: onnx.ModelProto, encoding: Encoding, blueprint: Blueprint, configuration: Configuration, precision: str
) -> tuple[list[wire.Piece], dict[str, int]]:
    """The file without the generated values, and the sizes of those in bytes."""
    _describe(model, blueprint, configuration, precision)
    sizes = sizes_of(model, encoding.architecture)
    return wire.lay_out(model, sizes), sizes


def _describe(model: onnx.ModelProto, blueprint: Blueprint, configuration: Configuration, precision: str) -> None:
    """Set producer and metadata; nothing here depends on time or machine."""
    header = blueprint.header
    cost, quality = cost_of(blueprint.architecture, configuration), blueprint.quality(configuration, precision)
    model.producer_name, model.producer_version = "neumeta", BUILDER_VERSION
    model.domain, model.model_version = "neumeta", header.version
    facts = {
        "model": header.name,
        "manifold": blueprint.digest,
        "spec": Spec.of(blueprint, configuration, precision).digest,
        "widths": json.dumps(dict(configuration), separators=(",", ":")),
        "precision": precision,
        "params": str(cost.params),
        "macs": str(cost.macs),
        "quality": quality.model_dump_json(),
        "input": header.input.model_dump_json(),
        "labels": json.dumps(header.labels),
    }
    for key, value in facts.items():
        model.metadata_props.add(key=f"neumeta.{key}", value=value)
