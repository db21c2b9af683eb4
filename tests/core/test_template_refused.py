"""Templates that do not fit their header, or would read what is none of their business, are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import Tensor

from tests.surgery import refusal, with_template, with_tensors


def set_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 18


def rename_initializer(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].name = "other"


def reshape_initializer(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[0] = 7


def retype_initializer(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].data_type = TensorProto.FLOAT16


def fill_initializer(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].raw_data = b"\0" * 288


def point_elsewhere(model: onnx.ModelProto) -> None:
    bias = model.graph.initializer[-1]
    bias.ClearField("raw_data")
    bias.data_location = TensorProto.EXTERNAL
    bias.external_data.add(key="location", value="/etc/passwd")


def rename_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].name = model.graph.node[0].input[0] = "image"


def unknown_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "Convolve"


def missing_edge(model: onnx.ModelProto) -> None:
    model.graph.node[1].input[0] = "nowhere"


def second_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))


def nest_functions(model: onnx.ModelProto) -> None:
    """Each calls the one before twice: whoever expands the calls makes two to the power of their number."""
    own = helper.make_opsetid("own", 1)
    bodies = [[helper.make_node("Relu", ["x"], ["y"])]]
    for depth in range(40):
        calls = [helper.make_node(f"f{depth}", [before], [after], domain="own") for before, after in (("x", "z"), ("z", "y"))]
        bodies.append(calls)
    model.functions.extend(helper.make_function("own", f"f{depth}", ["x"], ["y"], body, [own]) for depth, body in enumerate(bodies))
    model.opset_import.append(own)
    model.graph.node.append(helper.make_node("f40", ["b"], ["unused"], domain="own"))


def value_info_in_a_branch(model: onnx.ModelProto) -> None:
    branch = helper.make_graph([], "branch", [], [])
    branch.value_info.append(helper.make_tensor_value_info("b", TensorProto.FLOAT, [1]))
    model.graph.node.append(helper.make_node("If", ["condition"], ["either"], name="if", then_branch=branch, else_branch=branch))


def double_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    model.graph.node.insert(0, helper.make_node("Cast", ["input"], ["single"], to=TensorProto.FLOAT))
    model.graph.node[1].input[0] = "single"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (nest_functions, "the template has functions; expected nothing but ir_version, opset_import, graph"),
        (lambda model: model.metadata_props.add(key="neumeta.precision", value="fp64"), "the template has metadata_props"),
        (lambda model: model.graph.value_info.append(model.graph.input[0]), "the template has value_info; expected nothing but name, node"),
        (value_info_in_a_branch, "the template has value_info"),
        (lambda model: model.graph.initializer[0].double_data.append(1), "the template must hold conv1.weight as fp32 without values"),
        (lambda model: model.graph.initializer[0].int32_data.append(1), "the template must hold conv1.weight as fp32 without values"),
        (lambda model: setattr(model.graph.initializer[0], "doc_string", "x"), "the template must hold conv1.weight as fp32 without values"),
        (double_input, "the template's input and output must be fp32"),
        (
            lambda model: setattr(model.graph.input[0].type.tensor_type.shape.dim[2], "dim_value", 9),
            "the template's input has the axes [None, 1, 9, 8]; the header says [None, 1, 8, 8]",
        ),
        (lambda model: model.graph.input[0].type.tensor_type.shape.dim.pop(), "the template's input has the axes [None, 1, 8]"),
        (set_opset, "the template has IR version 8 and opset 18; expected IR version 8 and opset 17"),
        (lambda model: setattr(model, "ir_version", 13), "the template has IR version 13"),
        (rename_initializer, "the template holds conv1.weight as None; the header asks for (8, 1, 3, 3)"),
        (reshape_initializer, "the template holds conv1.weight as (7, 1, 3, 3); the header asks for (8, 1, 3, 3)"),
        (retype_initializer, "the template must hold conv1.weight as fp32 without values"),
        (fill_initializer, "the template must hold conv1.weight as fp32 without values"),
        (point_elsewhere, "the template keeps values of head.bias in another file"),
        (rename_input, "the template's only input and output must be input and logits"),
        (second_input, "the template's only input and output must be input and logits"),
        (unknown_operator, "the template makes no valid model at the smallest widths: No Op registered for Convolve"),
        (missing_edge, "the template makes no valid model at the smallest widths"),
        (lambda model: model.graph.ClearField("node"), "the template makes no valid model at the smallest widths"),
    ],
)
def test_a_template_that_does_not_fit_is_refused(tiny_bytes: bytes, change: Any, sentence: str) -> None:
    assert sentence in refusal(with_template(tiny_bytes, change))


def away() -> TensorProto:
    """Two integers that are in the file ``secret`` of the working directory."""
    tensor = TensorProto(name="away", data_type=TensorProto.INT64, dims=[2], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="secret")
    return tensor


def away_constant() -> onnx.NodeProto:
    return helper.make_node("Constant", [], ["away"], name="away", value=away())


def in_a_constant(model: onnx.ModelProto) -> None:
    (target,) = [node for node in model.graph.node if node.name == "target"]
    target.attribute[0].t.CopyFrom(away())


def in_a_constant_that_does_not_say_so(model: onnx.ModelProto) -> None:
    in_a_constant(model)
    (target,) = [node for node in model.graph.node if node.name == "target"]
    target.attribute[0].t.ClearField("data_location")


def in_a_list(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("tensors", [away()]))


def in_a_subgraph(model: onnx.ModelProto) -> None:
    branch = helper.make_graph([away_constant()], "branch", [], [])
    model.graph.node.append(helper.make_node("If", ["condition"], ["either"], name="if", then_branch=branch, else_branch=branch))


def in_a_subgraph_of_a_subgraph(model: onnx.ModelProto) -> None:
    in_a_subgraph(model)
    outer = helper.make_graph([model.graph.node.pop()], "outer", [], [])
    model.graph.node.append(helper.make_node("If", ["condition"], ["outer"], name="outer", then_branch=outer, else_branch=outer))


def in_a_sparse_initializer(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.add().values.CopyFrom(away())


def in_a_function(model: onnx.ModelProto) -> None:
    model.functions.add(name="function", domain="own").node.append(away_constant())


def in_a_default_of_a_function(model: onnx.ModelProto) -> None:
    model.functions.add(name="function", domain="own").attribute_proto.append(helper.make_attribute("tensor", away()))


def in_training_information(model: onnx.ModelProto) -> None:
    model.training_info.add().algorithm.initializer.append(away())


@pytest.mark.parametrize(
    "hide",
    [
        in_a_constant,
        in_a_constant_that_does_not_say_so,
        in_a_list,
        in_a_subgraph,
        in_a_subgraph_of_a_subgraph,
        in_a_sparse_initializer,
        in_a_function,
        in_a_default_of_a_function,
        in_training_information,
    ],
)
def test_a_template_that_would_read_a_file_of_the_host_is_refused_wherever_it_names_it(
    patched_bytes: bytes, hide: Callable[[onnx.ModelProto], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # As many bytes as the tensor has, so that reading it would succeed.
    Path("secret").write_bytes(b"known here alone")
    assert refusal(with_template(patched_bytes, hide)) == "the template keeps values of away in another file."


@pytest.mark.parametrize("content", [b"\0" * 50, b"not ONNX", b"\xff" * 20])
def test_a_template_that_is_no_onnx_is_refused(tiny_bytes: bytes, content: bytes) -> None:
    def replace(tensors: dict[str, Tensor]) -> None:
        tensors["template"] = torch.frombuffer(bytearray(content), dtype=torch.uint8)

    assert refusal(with_tensors(tiny_bytes, replace)) == "the template is no ONNX model."
