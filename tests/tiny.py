"""A little manifold that needs no training: two convolutions and a Linear after a flatten, with an untrained INR."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from neumeta_core.architecture import Architecture, ChannelGroup, GeneratedParameter, Segment, Widths
from neumeta_core.cost import cost_of
from neumeta_core.curve import Curve, CurvePoint
from neumeta_core.header import Header, InputSpec
from neumeta_core.inr import AnchoredSettings, InrSettings, build_inr
from neumeta_core.manifold import Canary, Manifold
from onnx import TensorProto, helper
from torch import Tensor
from torch.nn import functional

SIDE = 8
LABELS = ("zero", "one", "two")


def fixed(count: int) -> tuple[Segment, ...]:
    return (Segment(count=count),)


def group(name: str, repeat: int = 1) -> tuple[Segment, ...]:
    return (Segment(group=name, repeat=repeat),)


def tiny_architecture() -> Architecture:
    pixels, pooled = SIDE * SIDE, (SIDE // 2) ** 2
    kernel = (fixed(3), fixed(3))
    return Architecture(
        groups=(ChannelGroup(name="conv1", full=8, minimum=2), ChannelGroup(name="conv2", full=12, minimum=3)),
        parameters=(
            GeneratedParameter(name="conv1.weight", axes=(group("conv1"), fixed(1), *kernel), in_dim=1, macs_per_element=pixels),
            GeneratedParameter(name="conv1.bias", axes=(group("conv1"),), macs_per_element=0),
            GeneratedParameter(name="conv2.weight", axes=(group("conv2"), group("conv1"), *kernel), in_dim=1, macs_per_element=pixels),
            GeneratedParameter(name="conv2.bias", axes=(group("conv2"),), macs_per_element=0),
            GeneratedParameter(name="head.weight", axes=(fixed(3), group("conv2", pooled)), in_dim=1, macs_per_element=1),
        ),
        max_compression=0.75,
        fixed_params=3,
    )


def tiny_template(architecture: Architecture) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Conv", ["input", "conv1.weight", "conv1.bias"], ["a"], name="conv1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"], name="relu1"),
        helper.make_node("Conv", ["b", "conv2.weight", "conv2.bias"], ["c"], name="conv2", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["d"], name="relu2"),
        helper.make_node("MaxPool", ["d"], ["e"], name="pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["e"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "head.weight", "head.bias"], ["logits"], name="head", transB=1),
    ]
    empty = [
        TensorProto(name=parameter.name, data_type=TensorProto.FLOAT, dims=parameter.shape(architecture.full_widths))
        for parameter in architecture.parameters
    ]
    bias = onnx.numpy_helper.from_array(np.array([0.1, 0.2, 0.3], np.float32), "head.bias")
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 1, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])],
        [*empty, bias],
    )
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


def tiny_curve(architecture: Architecture) -> Curve:
    points = []
    for compression, quality, widths in ((0.0, 0.9, (8, 12)), (0.5, 0.8, (4, 6)), (0.75, 0.7, (2, 3))):
        named = dict(zip(("conv1", "conv2"), widths, strict=True))
        macs = sum(round(p.elements(named) * p.macs_per_element) for p in architecture.parameters)
        params = architecture.fixed_params + sum(p.elements(named) for p in architecture.parameters)
        points.append(CurvePoint(compression=compression, widths=named, params=params, macs=macs, quality=quality))
    return Curve(metric="accuracy", split="test", samples=100, points=tuple(points))


def tiny_manifold(settings: InrSettings | None = None, *, name: str = "tiny", version: int = 1, seed: int = 0, **header: Any) -> Manifold:
    """A manifold in memory; ``settings`` chooses the INR kind. Without a digest: save and load it for one."""
    architecture = tiny_architecture()
    settings = settings or AnchoredSettings(hidden=8, rank=2)
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inr = build_inr(architecture, settings)
    inr.start_from({p.name: 0.3 * torch.randn(p.shape(architecture.full_widths), generator=generator) for p in architecture.parameters})
    with torch.no_grad():
        for tensor in inr.parameters():
            if tensor.dim() == 2 and not tensor.any():
                tensor.copy_(0.1 * torch.randn(tensor.shape, generator=generator))
    return Manifold(
        Header(
            name=name,
            version=version,
            task="classification",
            labels=LABELS,
            input=InputSpec(shape=(1, SIDE, SIDE), scale=1 / 255, mean=(0.5,), std=(0.25,)),
            architecture=architecture,
            inr=settings,
            curve=tiny_curve(architecture),
            **header,
        ),
        inr,
        tiny_template(architecture).SerializeToString(deterministic=True),
        Canary(torch.zeros(2, 1, SIDE, SIDE, dtype=torch.uint8), torch.tensor([0, 1])),
    )


def with_curve(qualities: Mapping[float, float], *, samples: int = 10_000, fp16: float | None = None) -> Manifold:
    """A tiny manifold of these qualities by compression; in fp16 each is higher by ``fp16`` times its compression."""
    manifold = tiny_manifold()
    points = []
    for compression, quality in qualities.items():
        member = manifold.configure(compression)
        cost = cost_of(manifold.architecture, member)
        in_fp16 = {} if fp16 is None else {"fp16": quality + fp16 * compression}
        points.append(
            CurvePoint(compression=compression, widths=dict(member), params=cost.params, macs=cost.macs, quality=quality, quality_in=in_fp16)
        )
    curve = Curve(metric="accuracy", split="test", samples=samples, points=tuple(points))
    manifold.header = manifold.header.model_copy(update={"curve": curve})
    return manifold


def with_quality_in(manifold: Manifold, **differences: float) -> Manifold:
    """The same manifold with other precisions measured at every point of its curve: its fp32 quality plus the difference."""
    curve = manifold.header.curve
    assert curve is not None
    points = tuple(
        point.model_copy(update={"quality_in": {name: round(point.quality + change, 6) for name, change in differences.items()}})
        for point in curve.points
    )
    header = manifold.header.model_copy(update={"curve": curve.model_copy(update={"points": points})})
    return Manifold(header, manifold.inr, manifold.template, manifold.canary, digest=manifold.digest, size=manifold.size)


def save_tiny(models: Path, **arguments: Any) -> Path:
    """Write a tiny manifold as ``models/NAME/VERSION/manifold.safetensors``."""
    manifold = tiny_manifold(**arguments)
    path = models / manifold.header.name / str(manifold.header.version) / "manifold.safetensors"
    manifold.save(path)
    return path


def forward(weights: dict[str, Tensor], inputs: Tensor) -> Tensor:
    """The tiny network in torch: ``[n, 1, 8, 8]`` -> ``[n, 3]``."""
    x = torch.relu(functional.conv2d(inputs, weights["conv1.weight"], weights["conv1.bias"], padding=1))
    x = torch.relu(functional.conv2d(x, weights["conv2.weight"], weights["conv2.bias"], padding=1))
    return functional.linear(functional.max_pool2d(x, 2).flatten(1), weights["head.weight"], torch.tensor([0.1, 0.2, 0.3]))


def odd_widths(manifold: Manifold) -> list[Widths]:
    return [manifold.configure(widths={"conv1": one, "conv2": two}) for one, two in ((8, 12), (7, 5), (3, 11), (2, 3))]
