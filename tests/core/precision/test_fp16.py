from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from neumeta_core.assembly import assemble
from neumeta_core.errors import InvalidField
from neumeta_core.manifold import Manifold
from neumeta_core.precision.fp16 import to_half
from onnx import TensorProto, helper, numpy_helper

from tests.surgery import with_template

Array = np.ndarray[Any, Any]


def model(nodes: list[onnx.NodeProto], *initializers: onnx.TensorProto, inputs: dict[str, int] | None = None) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, kind, ["n", 1, 2, 2]) for name, kind in (inputs or {"x": TensorProto.FLOAT}).items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "c", "h", "w"])],
        list(initializers),
    )
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


def run(made: onnx.ModelProto, **inputs: Array) -> Array:
    onnx.checker.check_model(made, full_check=True)
    output: Array = onnxruntime.InferenceSession(made.SerializeToString()).run(None, inputs)[0]
    return output


def types(made: onnx.ModelProto) -> dict[str, int]:
    return {initializer.name: initializer.data_type for initializer in made.graph.initializer}


X = np.linspace(-1, 1, 4, dtype=np.float32).reshape(1, 1, 2, 2)


def check_against_fp32(template: onnx.ModelProto, **inputs: Array) -> onnx.ModelProto:
    """Both compute the same within fp16, with fp32 at both ends."""
    inputs = inputs or {"x": X}
    before = template.SerializeToString()
    half = to_half(template)
    assert template.SerializeToString() == before
    assert [value.type.tensor_type.elem_type for value in half.graph.output] == [TensorProto.FLOAT]
    single, made = run(template, **inputs), run(half, **inputs)
    assert made.dtype == np.float32
    assert np.allclose(single, made, atol=2e-3)
    return half


def test_weights_and_constants_become_fp16() -> None:
    constant = numpy_helper.from_array(np.float32([0.25]), "c")
    template = model(
        [
            helper.make_node("Constant", [], ["c"], name="c", value=constant),
            helper.make_node("Mul", ["x", "w"], ["m"]),
            helper.make_node("Add", ["m", "c"], ["y"]),
        ],
        numpy_helper.from_array(np.float32([1.5]), "w"),
    )
    half = check_against_fp32(template)
    assert types(half) == {"w": TensorProto.FLOAT16}
    assert {node.op_type for node in half.graph.node} == {"Cast", "Constant", "Mul", "Add"}


def test_values_in_float_data_become_fp16_too() -> None:
    weight = helper.make_tensor("w", TensorProto.FLOAT, [1], [1.5])
    assert weight.float_data
    half = check_against_fp32(model([helper.make_node("Mul", ["x", "w"], ["y"])], weight))
    assert not half.graph.initializer[0].float_data


@pytest.mark.parametrize("attribute", [{"value_float": 0.5}, {"value_floats": [0.5, 0.25]}])
def test_constants_of_plain_floats_become_fp16(attribute: dict[str, Any]) -> None:
    check_against_fp32(model([helper.make_node("Constant", [], ["c"], **attribute), helper.make_node("Mul", ["x", "c"], ["y"])]))


@pytest.mark.parametrize("attribute", [{}, {"value": numpy_helper.from_array(np.float32([0.5]))}])
def test_filled_shapes_become_fp16(attribute: dict[str, Any]) -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("ConstantOfShape", ["s"], ["c"], **attribute),
        helper.make_node("Add", ["x", "c"], ["y"]),
    ]
    check_against_fp32(model(nodes))


@pytest.mark.parametrize("as_constant", [False, True])
def test_the_scales_of_a_resize_stay_fp32(as_constant: bool) -> None:
    scales = numpy_helper.from_array(np.float32([1, 1, 2, 2]), "scales")
    nodes = [helper.make_node("Resize", ["x", "", "scales"], ["r"], mode="nearest"), helper.make_node("Mul", ["r", "w"], ["y"])]
    if as_constant:
        nodes.insert(0, helper.make_node("Constant", [], ["scales"], name="scales", value=scales))
    weight = numpy_helper.from_array(np.float32([3]), "w")
    half = check_against_fp32(model(nodes, weight) if as_constant else model(nodes, weight, scales))
    assert types(half) == {"w": TensorProto.FLOAT16} | ({} if as_constant else {"scales": TensorProto.FLOAT})


def constant(name: str, *values: float) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], name=name, value=numpy_helper.from_array(np.float32(values)))


# What is put together from Constants is how the exporter writes nn.Upsample(scale_factor=2).
@pytest.mark.parametrize(
    "scales",
    [
        [constant("batch", 1, 1), constant("sides", 2, 2), helper.make_node("Concat", ["batch", "sides"], ["scales"], axis=0)],
        [
            helper.make_node("Constant", [], ["two"], value_float=2.0),
            helper.make_node("Constant", [], ["axis"], value_ints=[0]),
            helper.make_node("Unsqueeze", ["two", "axis"], ["side"]),
            constant("batch", 1, 1),
            helper.make_node("Concat", ["batch", "side", "side"], ["scales"], axis=0),
        ],
        [
            helper.make_node("Shape", ["m"], ["shape"]),
            helper.make_node("Cast", ["shape"], ["sizes"], to=TensorProto.FLOAT),
            constant("shares", 1, 1, 0.5, 1),
            helper.make_node("Mul", ["sizes", "shares"], ["scales"]),
        ],
    ],
    ids=["concatenated", "unsqueezed", "from a shape"],
)
def test_whatever_the_scales_of_a_resize_are_put_together_from_stays_fp32_and_nothing_else(scales: list[onnx.NodeProto]) -> None:
    weigh, resize = helper.make_node("Mul", ["x", "w"], ["m"]), helper.make_node("Resize", ["m", "", "scales"], ["r"], mode="nearest")
    nodes = [weigh, *scales, resize, helper.make_node("Mul", ["r", "w"], ["y"])]
    half = check_against_fp32(model(nodes, numpy_helper.from_array(np.float32([1.5]), "w")))
    assert types(half) == {"w": TensorProto.FLOAT16}


def test_casts_to_fp32_inside_the_graph_become_casts_to_fp16() -> None:
    nodes = [
        helper.make_node("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "f"], ["y"]),
    ]
    template = model(nodes, inputs={"x": TensorProto.FLOAT, "i": TensorProto.INT64})
    half = check_against_fp32(template, x=X, i=np.arange(4).reshape(1, 1, 2, 2))
    assert [value.type.tensor_type.elem_type for value in half.graph.input] == [TensorProto.FLOAT, TensorProto.INT64]


def test_integers_and_an_output_that_is_used_inside_survive() -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["y"]),
        helper.make_node("Reshape", ["y", "shape"], ["unused"]),
    ]
    half = check_against_fp32(model(nodes, numpy_helper.from_array(np.array([-1, 4]), "shape")))
    assert types(half) == {"shape": TensorProto.INT64}


def test_weights_that_fp16_cannot_hold_are_refused_by_name() -> None:
    template = model([helper.make_node("Mul", ["x", "heavy"], ["y"])], numpy_helper.from_array(np.float32([65600]), "heavy"))
    with pytest.raises(InvalidField, match="precision: 'fp16' is not allowed; expected another one: 'heavy' holds values beyond 65504"):
        to_half(template)


def test_infinities_that_are_meant_stay() -> None:
    template = model([helper.make_node("Min", ["x", "mask"], ["y"])], numpy_helper.from_array(np.float32([np.inf]), "mask"))
    check_against_fp32(template)


def test_an_infinity_hides_no_weight_that_fp16_cannot_hold() -> None:
    template = model([helper.make_node("Mul", ["x", "heavy"], ["y"])], numpy_helper.from_array(np.float32([np.inf, 70000]), "heavy"))
    with pytest.raises(InvalidField, match="'heavy' holds values beyond 65504"):
        to_half(template)


def test_names_that_the_casts_would_have_are_left_to_those_who_have_them() -> None:
    nodes = [helper.make_node("Relu", ["x"], ["x.fp16"]), helper.make_node("Neg", ["x.fp16"], ["y.fp16"]), helper.make_node("Neg", ["y.fp16"], ["y"])]
    check_against_fp32(model(nodes))


@pytest.mark.parametrize(
    "nodes",
    [
        [helper.make_node("EyeLike", ["flat"], ["eye"], dtype=TensorProto.FLOAT), helper.make_node("Gemm", ["flat", "eye"], ["unused"])],
        [helper.make_node("QuantizeLinear", ["flat", "scale"], ["unused"])],
    ],
    ids=["EyeLike", "QuantizeLinear"],
)
def test_a_network_that_cannot_be_computed_in_fp16_is_refused_in_fp16_alone(tiny_bytes: bytes, nodes: list[onnx.NodeProto]) -> None:
    def add(changed: onnx.ModelProto) -> None:
        (flatten,) = [node for node in changed.graph.node if node.name == "flatten"]
        changed.graph.initializer.append(numpy_helper.from_array(np.float32(0.1), "scale"))
        for node in nodes:
            copy = changed.graph.node.add()
            copy.CopyFrom(node)
            copy.input[0] = flatten.output[0]
            copy.name = "x" * 10_000

    manifold = Manifold.from_bytes(with_template(tiny_bytes, add))
    member = manifold.configure(0.5)
    weights = manifold.materialize(member)
    for precision in ("fp32", "int8"):
        assert assemble(manifold, member, weights, precision).digest
    for _ in range(2):
        with pytest.raises(InvalidField, match="expected another one: this network cannot be computed in fp16") as refused:
            manifold.cost(member, "fp16")
        assert len(str(refused.value)) < 500


def test_a_constant_with_more_values_than_it_has_places_is_refused_in_fp16_alone(tiny_bytes: bytes) -> None:
    def add(template: onnx.ModelProto) -> None:
        template.graph.initializer.append(TensorProto(name="surplus", data_type=TensorProto.FLOAT, dims=[3], raw_data=bytes(16)))

    manifold = Manifold.from_bytes(with_template(tiny_bytes, add))
    member = manifold.configure(0.5)
    assert manifold.cost(member).bytes
    for _ in range(2):
        with pytest.raises(InvalidField, match="expected another one: this network cannot be computed in fp16"):
            manifold.cost(member, "fp16")
