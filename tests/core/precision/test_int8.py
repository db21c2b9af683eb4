from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from neumeta_core.architecture import Architecture, ChannelGroup, GeneratedParameter
from neumeta_core.assembly import assemble
from neumeta_core.manifold import Manifold
from neumeta_core.precision.int8 import Int8
from neumeta_core.template import fill
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from tests.tiny import fixed, group, odd_widths

Array = np.ndarray[Any, Any]


def stored(manifold: Manifold, weights: dict[str, Tensor], member: Any) -> dict[str, Array]:
    model = onnx.load_from_string(assemble(manifold, member, weights, "int8").data)
    return {initializer.name: numpy_helper.to_array(initializer) for initializer in model.graph.initializer}


@pytest.fixture
def made(patched_manifold: Manifold) -> tuple[dict[str, Tensor], dict[str, Array]]:
    member = patched_manifold.configure(widths={"a": 6, "b": 3})
    weights = patched_manifold.materialize(member)
    return weights, stored(patched_manifold, weights, member)


KERNELS = ("stem.weight", "depthwise.weight", "up.weight", "mix.weight", "head.weight")


def test_kernels_are_int8_and_all_else_stays_fp32(made: tuple[dict[str, Tensor], dict[str, Array]]) -> None:
    _, arrays = made
    assert {name for name, array in arrays.items() if array.dtype == np.int8} == {f"{name}/int8" for name in KERNELS}
    rest = {name for name, array in arrays.items() if array.dtype == np.float32}
    assert rest == {*(f"{name}/scale" for name in KERNELS), "stem.bias", "depthwise.bias", "head.bias", "scales"}


@pytest.mark.parametrize("name", KERNELS)
def test_every_output_channel_has_the_scale_of_its_largest_value(name: str, made: tuple[dict[str, Tensor], dict[str, Array]]) -> None:
    weights, arrays = made
    axis = 1 if name == "up.weight" else 0
    channels = np.moveaxis(weights[name].numpy(), axis, 0)
    whole = np.moveaxis(arrays[f"{name}/int8"], axis, 0)
    for values, integers, scale in zip(channels, whole, arrays[f"{name}/scale"], strict=True):
        assert scale == np.abs(values).max() / np.float32(127)
        assert np.abs(integers).max() == 127
        assert np.abs(integers * scale - values).max() <= 0.501 * scale


def test_the_scale_runs_along_the_output_axis_in_the_graph(patched_manifold: Manifold) -> None:
    nodes = {node.output[0]: node for node in patched_manifold.encoding_in("int8").template.graph.node if node.op_type == "DequantizeLinear"}
    assert {name: helper.get_attribute_value(node.attribute[0]) for name, node in nodes.items()} == {
        name: 1 if name == "up.weight" else 0 for name in KERNELS
    }
    assert all(len(node.input) == 2 for node in nodes.values())


@pytest.mark.parametrize(
    ("change", "largest"),
    [
        (lambda kernel: kernel[1].zero_(), 0),
        (lambda kernel: kernel[1].fill_(1e-45), 0),
        (lambda kernel: kernel[1].fill_(2.5e-43), 127),
        (lambda kernel: kernel[1].fill_(3.4e38), 127),
    ],
)
def test_channels_at_the_ends_of_fp32_stay_finite_and_near(tiny_manifold: Manifold, change: Callable[[Tensor], object], largest: int) -> None:
    member = tiny_manifold.configure(0.5)
    weights = tiny_manifold.materialize(member)
    change(weights["conv2.weight"])
    arrays = stored(tiny_manifold, weights, member)
    integers, scale = arrays["conv2.weight/int8"][1], arrays["conv2.weight/scale"][1]
    assert scale > 0
    assert np.abs(integers).max() == largest
    assert np.abs(integers * scale.astype(np.float64) - weights["conv2.weight"][1].numpy()).max() <= max(
        1e-42, 2e-3 * weights["conv2.weight"][1].max()
    )


def with_names_in_use(template: onnx.ModelProto) -> onnx.ModelProto:
    """The tiny network with an unused constant and two nodes that have the names of what int8 adds."""
    template.graph.initializer.append(numpy_helper.from_array(np.float32([7]), "conv1.weight/int8"))
    template.graph.node.append(helper.make_node("Identity", ["conv1.weight/int8"], ["conv2.weight/scale"], name="head.weight/dequantize"))
    return template


def test_names_that_the_template_has_are_left_to_it(tiny_manifold: Manifold) -> None:
    template = with_names_in_use(onnx.load_from_string(tiny_manifold.template)).SerializeToString()
    other = Manifold(tiny_manifold.header, tiny_manifold.inr, template, digest=tiny_manifold.digest)
    inputs = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0)).numpy()
    for member in odd_widths(other):
        weights = other.materialize(member)
        artifact = assemble(other, member, weights, "int8")
        assert len(artifact.data) == other.cost(member, "int8").bytes
        model = onnx.load_from_string(artifact.data)
        onnx.checker.check_model(model, full_check=True)
        assert "conv1.weight/int8_" in {initializer.name for initializer in model.graph.initializer}
        outputs = [
            onnxruntime.InferenceSession(data).run(["logits"], {"input": inputs})[0]
            for data in (artifact.data, assemble(tiny_manifold, member, weights, "int8").data)
        ]
        assert np.array_equal(*outputs)


@pytest.mark.parametrize("transposed", [0, 1])
def test_a_linear_in_either_layout(transposed: int) -> None:
    axes = (fixed(4), group("a")) if transposed else (group("a"), fixed(4))
    architecture = Architecture(
        groups=(ChannelGroup(name="a", full=6, minimum=2),),
        parameters=(GeneratedParameter(name="w", axes=axes, out_dim=1 - transposed, in_dim=transposed, macs_per_element=1),),
        max_compression=0.5,
    )
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w"], ["y"], name="gemm", transB=transposed)],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", "k"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        [TensorProto(name="w", data_type=TensorProto.FLOAT, dims=architecture.parameters[0].shape({"a": 6}))],
    )
    template = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    before = template.SerializeToString()
    encoding = Int8(template, architecture)
    assert template.SerializeToString() == before
    # Output channels of very different sizes: one scale for all of them would lose the small ones.
    kernel = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([1e-4, 1e-2, 1, 100])
    weights = {"w": kernel.T.contiguous() if transposed else kernel}
    model = fill(encoding.template, encoding.architecture, {"a": 5}, encoding.encode(weights))
    onnx.checker.check_model(model, full_check=True)
    x = np.eye(5, dtype=np.float32)
    outputs = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]
    assert (np.abs(outputs - kernel.numpy()).max(axis=0) <= np.abs(kernel.numpy()).max(axis=0) / 250).all()
