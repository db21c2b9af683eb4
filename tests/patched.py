"""A second little family, with all that tiny.py lacks: depthwise and transposed convolutions, a concatenated skip, Resize, patches."""

from __future__ import annotations

import numpy as np
import onnx
import torch
from neumeta_core.architecture import Architecture, ChannelGroup, GeneratedParameter, Patch, Segment
from neumeta_core.header import Header, InputSpec
from neumeta_core.inr import AnchoredSettings, InrSettings, build_inr
from neumeta_core.manifold import Manifold
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor
from torch.nn import functional

from tests.tiny import fixed, group

SIDE = 6
PIXELS = SIDE * SIDE
BIAS = (0.5, -0.25)


def patched_architecture() -> Architecture:
    three, two = (fixed(3), fixed(3)), (fixed(2), fixed(2))
    skip = (Segment(group="b"), Segment(group="a"))
    return Architecture(
        groups=(ChannelGroup(name="a", full=8, minimum=2, granularity=2), ChannelGroup(name="b", full=5, minimum=1)),
        parameters=(
            GeneratedParameter(name="stem.weight", axes=(group("a"), fixed(1), *three), in_dim=1, macs_per_element=PIXELS),
            GeneratedParameter(name="stem.bias", axes=(group("a"),), macs_per_element=0),
            GeneratedParameter(name="depthwise.weight", axes=(group("a"), fixed(1), *three), in_dim=1, macs_per_element=PIXELS),
            GeneratedParameter(name="depthwise.bias", axes=(group("a"),), macs_per_element=0),
            GeneratedParameter(name="up.weight", axes=(group("a"), group("b"), *two), out_dim=1, in_dim=0, macs_per_element=PIXELS),
            GeneratedParameter(name="mix.weight", axes=(group("b"), skip, fixed(1), fixed(1)), in_dim=1, macs_per_element=PIXELS),
            GeneratedParameter(name="head.weight", axes=(fixed(2), group("b", PIXELS)), in_dim=1, macs_per_element=1),
        ),
        patches=(
            Patch(node="depthwise", attribute="group", axis=group("a")),
            Patch(node="target", attribute="value", index=1, axis=group("b", PIXELS)),
        ),
        max_compression=0.75,
        fixed_params=len(BIAS),
    )


def patched_template(architecture: Architecture) -> onnx.ModelProto:
    widths = architecture.full_widths
    # int64_data, as helper.make_tensor writes it; from_array would write raw_data.
    target = helper.make_tensor("target", TensorProto.INT64, [2], [-1, widths["b"] * PIXELS])
    nodes = [
        helper.make_node("Conv", ["input", "stem.weight", "stem.bias"], ["s"], name="stem", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["s"], ["h"], name="relu1"),
        helper.make_node("Conv", ["h", "depthwise.weight", "depthwise.bias"], ["d0"], name="depthwise", pads=[1, 1, 1, 1], group=widths["a"]),
        helper.make_node("Relu", ["d0"], ["d"], name="relu2"),
        helper.make_node("ConvTranspose", ["d", "up.weight"], ["u"], name="up", strides=[2, 2]),
        helper.make_node("Resize", ["u", "", "scales"], ["v"], name="resize", mode="nearest"),
        helper.make_node("Concat", ["v", "d"], ["c"], name="concat", axis=1),
        helper.make_node("Conv", ["c", "mix.weight"], ["m0"], name="mix"),
        helper.make_node("Relu", ["m0"], ["m"], name="relu3"),
        helper.make_node("Constant", [], ["shape"], name="target", value=target),
        helper.make_node("Reshape", ["m", "shape"], ["r"], name="reshape"),
        helper.make_node("Gemm", ["r", "head.weight", "head.bias"], ["logits"], name="head", transB=1),
    ]
    empty = [TensorProto(name=p.name, data_type=TensorProto.FLOAT, dims=p.shape(widths)) for p in architecture.parameters]
    frozen = [numpy_helper.from_array(np.array(BIAS, np.float32), "head.bias"), numpy_helper.from_array(np.float32([1, 1, 0.5, 0.5]), "scales")]
    graph = helper.make_graph(
        nodes,
        "patched",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 1, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])],
        [*empty, *frozen],
    )
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


def patched_manifold(settings: InrSettings | None = None) -> Manifold:
    architecture = patched_architecture()
    settings = settings or AnchoredSettings(hidden=8, rank=2)
    generator = torch.Generator().manual_seed(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        inr = build_inr(architecture, settings)
    inr.start_from({p.name: 0.4 * torch.randn(p.shape(architecture.full_widths), generator=generator) for p in architecture.parameters})
    with torch.no_grad():
        for tensor in inr.parameters():
            if tensor.dim() == 2 and not tensor.any():
                tensor.copy_(0.1 * torch.randn(tensor.shape, generator=generator))
    header = Header(name="patched", version=2, task="classification", input=InputSpec(shape=(1, SIDE, SIDE)), architecture=architecture, inr=settings)
    return Manifold(header, inr, patched_template(architecture).SerializeToString(deterministic=True))


def forward(weights: dict[str, Tensor], inputs: Tensor) -> Tensor:
    """The same network in torch: ``[n, 1, 6, 6]`` -> ``[n, 2]``."""
    h = torch.relu(functional.conv2d(inputs, weights["stem.weight"], weights["stem.bias"], padding=1))
    d = torch.relu(functional.conv2d(h, weights["depthwise.weight"], weights["depthwise.bias"], padding=1, groups=h.shape[1]))
    u = functional.conv_transpose2d(d, weights["up.weight"], stride=2)
    v = functional.interpolate(u, scale_factor=0.5, mode="nearest")
    m = torch.relu(functional.conv2d(torch.cat([v, d], dim=1), weights["mix.weight"]))
    return functional.linear(m.flatten(1), weights["head.weight"], torch.tensor(BIAS))
