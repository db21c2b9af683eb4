"""A model whose full member is an ONNX file of one megabyte: none that ships is that large."""

from __future__ import annotations

from pathlib import Path

import torch
from neumeta_core.architecture import Architecture, ChannelGroup, GeneratedParameter, Segment
from neumeta_core.header import Header, InputSpec
from neumeta_core.inr import AnchoredSettings, build_inr
from neumeta_core.manifold import Manifold
from onnx import ModelProto, TensorProto, helper

NAME = "megabyte"
INPUTS, HIDDEN, OUTPUTS = 64, 3490, 10


def save_megabyte(models: Path) -> None:
    """Write an untrained manifold of a perceptron with one wide layer; what its weights are does not matter for serving them."""
    architecture = _architecture()
    settings = AnchoredSettings(hidden=8, rank=1)
    inr = build_inr(architecture, settings)
    inr.start_from({parameter.name: torch.randn(parameter.shape(architecture.full_widths)) for parameter in architecture.parameters})
    header = Header(
        name=NAME,
        version=1,
        task="classification",
        labels=tuple("0123456789"),
        input=InputSpec(shape=(INPUTS,), scale=1, mean=(0.0,), std=(1.0,), layout="NF"),
        architecture=architecture,
        inr=settings,
    )
    Manifold(header, inr, _template(architecture).SerializeToString(deterministic=True)).save(models / NAME / "1" / "manifold.safetensors")


def _architecture() -> Architecture:
    hidden = (Segment(group="hidden"),)
    return Architecture(
        groups=(ChannelGroup(name="hidden", full=HIDDEN, minimum=HIDDEN // 4),),
        parameters=(
            GeneratedParameter(name="first.weight", axes=(hidden, (Segment(count=INPUTS),)), in_dim=1, macs_per_element=1),
            GeneratedParameter(name="first.bias", axes=(hidden,), macs_per_element=0),
            GeneratedParameter(name="head.weight", axes=((Segment(count=OUTPUTS),), hidden), in_dim=1, macs_per_element=1),
        ),
        max_compression=0.75,
        fixed_params=0,
    )


def _template(architecture: Architecture) -> ModelProto:
    nodes = [
        helper.make_node("Gemm", ["input", "first.weight", "first.bias"], ["a"], name="first", transB=1),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("Gemm", ["b", "head.weight"], ["logits"], name="head", transB=1),
    ]
    weights = [TensorProto(name=p.name, data_type=TensorProto.FLOAT, dims=p.shape(architecture.full_widths)) for p in architecture.parameters]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", features]) for name, features in (("input", INPUTS), ("logits", OUTPUTS))
    ]
    return helper.make_model(helper.make_graph(nodes, NAME, ends[:1], ends[1:], weights), ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
