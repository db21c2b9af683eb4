"""What is no whole, consistent manifold is refused with a sentence that says what is wrong; never another exception."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import safetensors.torch
import torch
from neumeta_core.architecture import Architecture, ChannelGroup, GeneratedParameter
from neumeta_core.consistency import check_count
from neumeta_core.errors import ManifoldRefused
from neumeta_core.inr import AnchoredSettings, FactorisedSettings, InrSettings, MlpSettings, build_inr
from neumeta_core.manifold import Manifold
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from tests.surgery import header_of, with_header_text, with_template, with_tensors, with_value
from tests.tiny import group


def refusal(data: bytes) -> str:
    with pytest.raises(ManifoldRefused) as refused:
        Manifold.from_bytes(data)
    sentence = str(refused.value)
    assert len(sentence) < 500
    assert refused.value.code == "model_refused"
    return sentence


# Files that are cut or foreign


def test_a_file_cut_anywhere_is_refused(tiny_bytes: bytes) -> None:
    length = 8 + int.from_bytes(tiny_bytes[:8], "little")
    generator = random.Random(0)
    cuts = [0, 1, 7, 8, 9, length - 1, length, length + 1, len(tiny_bytes) - 1, *(generator.randrange(len(tiny_bytes)) for _ in range(60))]
    for cut in cuts:
        sentence = refusal(tiny_bytes[:cut])
        assert "truncated" in sentence if cut < length else "damaged" in sentence


def test_a_file_with_something_behind_it_is_refused(tiny_bytes: bytes) -> None:
    assert "damaged" in refusal(tiny_bytes + b"\0")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x04\x95pickle" * 9,
        b"PK\x03\x04" * 30,
        b"GIF89a" * 40,
        b"\0" * 4096,
        b"\xff" * 4096,
        (2).to_bytes(8, "little") + b"[]",
        (2).to_bytes(8, "little") + b"{}",
        (4).to_bytes(8, "little") + b"null",
        (8).to_bytes(8, "little") + b'\xff\xfe{"a":1',
        (60_000).to_bytes(8, "little") + b"[" * 60_000,
        (10**6).to_bytes(8, "little") + b'{"a":' * 200_000,
    ],
)
def test_what_is_no_safetensors_file_is_refused(data: bytes) -> None:
    assert "no safetensors file" in refusal(data) or "no manifold" in refusal(data)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"neumeta": ""}, {"neumeta": "not JSON"}, {"neumeta": "[" * 60_000}])
def test_a_safetensors_file_of_something_else_is_refused(metadata: dict[str, str] | None) -> None:
    assert "no manifold" in refusal(safetensors.torch.save({"weight": torch.zeros(3)}, metadata))


@pytest.mark.parametrize("text", ["1" * 5000, '{"training": {"loss": NaN}}', '{"training": {"loss": 1e999}}', '{"a": "\ud800'])
def test_numbers_and_text_that_are_no_json_are_refused(tiny_bytes: bytes, text: str) -> None:
    assert "no manifold" in refusal(with_header_text(tiny_bytes, text))


def test_a_header_that_is_nested_too_deeply_is_refused(tiny_bytes: bytes) -> None:
    nested: dict[str, Any] = {}
    for _ in range(400):
        nested = {"a": nested}
    assert "recursion" in refusal(with_value(tiny_bytes, ("training",), nested))


# The header by itself


@pytest.mark.parametrize("version", [0, 2, -1, "1", None, [], {}, 1.5, 10**30])
def test_another_format_version_is_refused(tiny_bytes: bytes, version: Any) -> None:
    assert refusal(with_value(tiny_bytes, ("format_version",), version)) == (
        f"the file has format version {version!r}; this program reads version 1."
    )


@pytest.mark.parametrize("text", ["[]", "null", "3", '"text"', "{}"])
def test_a_header_without_a_version_is_refused(tiny_bytes: bytes, text: str) -> None:
    assert "format version None" in refusal(with_header_text(tiny_bytes, text))


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        (("future",), 1, "future"),
        (("architecture", "future"), 1, "architecture.future"),
        (("name",), "../etc", "name"),
        (("name",), "a" * 65, "name"),
        (("version",), 0, "version"),
        (("version",), "3", "version"),
        (("version",), True, "version"),
        (("version",), 10**30, "version"),
        (("labels",), "zero", "labels"),
        (("input", "shape"), [1, -8, 8], "input.shape.1"),
        (("input", "std"), [0.0], "input.std.0"),
        (("input", "mean"), ["0.5"], "input.mean.0"),
        (("inr", "kind"), "unknown", "inr"),
        (("inr", "hidden"), 10**9, "inr.anchored.hidden"),
        (("inr", "levels"), [0.5, 0.75], "inr.anchored.levels"),
        (("inr", "levels"), [2.0], "inr.anchored.levels.0"),
        (("sampling",), {"count": 0}, "sampling.count"),
        (("sampling",), {"count": 1001, "noise": 0.5}, "sampling.count"),
        (("sampling",), {"count": 2, "noise": -1.0}, "sampling.noise"),
        (("sampling",), {"count": 2, "seed": 10**40}, "sampling.seed"),
        (("architecture", "groups", 0, "full"), 10**30, "architecture.groups.0.full"),
        (("architecture", "groups", 0, "full"), 2**21, "architecture"),
        (("architecture", "groups", 0, "minimum"), 9, "architecture.groups.0"),
        (("architecture", "max_compression"), 1, "architecture.max_compression"),
        (("architecture", "parameters", 0, "macs_per_element"), 1e308, "architecture.parameters.0.macs_per_element"),
        (("architecture", "parameters", 4, "axes", 1, 0, "repeat"), 10**8, "architecture"),
        (("architecture", "parameters", 4, "axes", 1, 0, "group"), "nowhere", "architecture"),
        (("architecture", "parameters", 0, "in_dim"), 0, "architecture.parameters.0"),
        (("curve", "points"), [], "curve.points"),
        (("curve", "points", 0, "macs"), 10**40, "curve.points.0.macs"),
    ],
)
def test_a_field_that_is_not_valid_is_named(tiny_bytes: bytes, path: tuple[str | int, ...], value: Any, where: str) -> None:
    assert refusal(with_value(tiny_bytes, path, value)).startswith(f"the header is not valid at {where}: ")


def test_a_missing_field_is_named(tiny_bytes: bytes) -> None:
    header = header_of(tiny_bytes)
    del header["architecture"]["groups"]
    assert refusal(with_header_text(tiny_bytes, json.dumps(header))) == "the header is not valid at architecture.groups: Field required."


# The header against the tensors


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda tensors: tensors.pop("inr.blocks.0.anchor"), "missing ['blocks.0.anchor'], not expected []"),
        (lambda tensors: tensors.update({"inr.extra": torch.zeros(2)}), "missing [], not expected ['extra']"),
        (lambda tensors: tensors.update({"extra": torch.zeros(2)}), "holds tensors that no manifold has: ['extra']"),
        (
            lambda tensors: tensors.update({"inr.blocks.0.anchor": torch.zeros(8, 9)}),
            "inr.blocks.0.anchor has shape [8, 9]; the header asks for [8, 1, 9]",
        ),
        (lambda tensors: tensors["inr.blocks.2.anchor"].view(-1)[5:6].fill_(torch.nan), "inr.blocks.2.anchor holds values that are not finite"),
        (lambda tensors: tensors["inr.blocks.2.anchor"].view(-1)[5:6].fill_(-torch.inf), "inr.blocks.2.anchor holds values that are not finite"),
        (lambda tensors: tensors.pop("template"), "the file has no template"),
        (lambda tensors: tensors.update({"template": torch.zeros(9)}), "the file has no template"),
        (lambda tensors: tensors.pop("canary.labels"), "only one of canary.inputs and canary.labels"),
        (lambda tensors: tensors.pop("canary.inputs"), "only one of canary.inputs and canary.labels"),
        (lambda tensors: tensors.update({"canary.inputs": torch.zeros(2, 1, 8, 9)}), "canary.inputs and canary.labels have shapes"),
        (lambda tensors: tensors.update({"canary.labels": torch.zeros(3, dtype=torch.int64)}), "canary.inputs and canary.labels have shapes"),
        (lambda tensors: tensors.update({"canary.labels": torch.tensor(3)}), "canary.inputs and canary.labels have shapes"),
        (lambda tensors: tensors.update({"canary.labels": torch.zeros(2)}), "canary.inputs and canary.labels have types"),
        (lambda tensors: tensors.update({"canary.inputs": torch.full((2, 1, 8, 8), torch.inf)}), "canary.inputs holds values that are not finite"),
    ],
)
def test_tensors_that_do_not_fit_are_named(tiny_bytes: bytes, change: Any, sentence: str) -> None:
    assert sentence in refusal(with_tensors(tiny_bytes, change))


@pytest.mark.parametrize("dtype", [torch.int32, torch.float64, torch.bool, torch.bfloat16, torch.float8_e4m3fn, torch.complex64])
def test_weights_of_other_types_are_refused(tiny_bytes: bytes, dtype: torch.dtype) -> None:
    def convert(tensors: dict[str, Tensor]) -> None:
        tensors["inr.blocks.0.anchor"] = tensors["inr.blocks.0.anchor"].to(dtype)

    assert refusal(with_tensors(tiny_bytes, convert)) == f"inr.blocks.0.anchor has type {dtype}; expected fp16 or fp32."


def test_other_sizes_of_the_inr_do_not_fit(tiny_bytes: bytes) -> None:
    assert "the header asks for" in refusal(with_value(tiny_bytes, ("inr", "hidden"), 9))
    assert "the header asks for" in refusal(with_value(tiny_bytes, ("inr", "hidden"), 2**16))


def test_levels_without_their_anchors_do_not_fit(tiny_bytes: bytes) -> None:
    assert "missing ['blocks.0.level_anchors.0'" in refusal(with_value(tiny_bytes, ("inr", "levels"), [0.5]))
    assert "the header does not fit the tensors" in refusal(with_value(tiny_bytes, ("inr",), {"kind": "mlp"}))


def test_more_blocks_than_the_file_can_hold_are_refused_before_any_is_made(tiny_bytes: bytes) -> None:
    axis = [{"count": 1}] * 100
    sentence = refusal(with_value(tiny_bytes, ("architecture", "parameters", 4, "axes"), [axis, axis]))
    assert "the header does not fit the tensors: its INR has at least 70028, the file has" in sentence


def test_more_layers_than_the_file_can_hold_are_refused_before_any_is_made(tiny_bytes: bytes) -> None:
    sentence = refusal(with_value(tiny_bytes, ("inr",), {"kind": "mlp", "layers": 1000}))
    assert "the header does not fit the tensors: its INR has at least 10025, the file has" in sentence


@pytest.mark.parametrize("settings", [AnchoredSettings(), FactorisedSettings(), MlpSettings(layers=1), MlpSettings(layers=9)], ids=str)
def test_an_inr_with_as_few_tensors_as_one_can_have_is_not_refused(settings: InrSettings) -> None:
    vector = GeneratedParameter(name="bias", axes=(group("a"),), macs_per_element=0)
    architecture = Architecture(groups=(ChannelGroup(name="a", full=4, minimum=1),), parameters=(vector,), max_compression=0.5)
    check_count(architecture, settings, len(build_inr(architecture, settings).state_dict()))


def test_an_inr_that_cannot_be_built_is_refused(tiny_bytes: bytes) -> None:
    header = header_of(tiny_bytes)
    header["inr"] = {"kind": "mlp", "layers": 1}
    header["architecture"]["parameters"][0]["axes"].append([{"count": 1}])
    assert "cannot be built: conv1.weight has a kernel of 3 dimensions" in refusal(with_header_text(tiny_bytes, json.dumps(header)))


# The header against the template


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


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
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


@pytest.mark.parametrize(
    ("patch", "sentence"),
    [
        ({"node": "nowhere", "attribute": "group"}, "a patch names the node nowhere, which the template has 0 times"),
        ({"node": "conv1", "attribute": "group"}, "the template has no attribute group on a node conv1"),
        ({"node": "conv1", "attribute": "pads"}, "attribute pads of node conv1 has no integer at index None"),
        ({"node": "conv1", "attribute": "pads", "index": 9}, "attribute pads of node conv1 has no integer at index 9"),
    ],
)
def test_a_patch_that_does_not_fit_is_refused(tiny_bytes: bytes, patch: dict[str, Any], sentence: str) -> None:
    assert sentence in refusal(with_value(tiny_bytes, ("architecture", "patches"), [{**patch, "axis": [{"count": 1}]}]))


def test_patches_of_one_integer_are_refused(patched_bytes: bytes) -> None:
    patches = header_of(patched_bytes)["architecture"]["patches"]
    sentence = refusal(with_value(patched_bytes, ("architecture", "patches"), [*patches, patches[0]]))
    assert sentence == "the header is not valid at architecture: two patches set the same integer."


def test_a_patch_of_a_tensor_that_is_no_shape_is_refused(patched_bytes: bytes) -> None:
    def enlarge(model: onnx.ModelProto) -> None:
        (target,) = [node for node in model.graph.node if node.name == "target"]
        target.attribute[0].t.CopyFrom(helper.make_tensor("target", TensorProto.INT64, [257], [1] * 257))

    sentence = refusal(with_template(patched_bytes, enlarge))
    assert "attribute value of node target has 257 entries; a tensor with a patch has at most 256" in sentence


def test_a_patch_with_a_size_that_no_integer_holds_is_refused(patched_bytes: bytes) -> None:
    patches = header_of(patched_bytes)["architecture"]["patches"]
    patches[1]["axis"] = [{"count": 2**29, "repeat": 2**29}] * 64
    sentence = refusal(with_value(patched_bytes, ("architecture", "patches"), patches))
    assert f"attribute value of node target has no integer at index 1 that can be {2**64}" in sentence


def test_two_nodes_of_one_name_cannot_be_patched(patched_bytes: bytes) -> None:
    def rename(model: onnx.ModelProto) -> None:
        model.graph.node[0].name = "depthwise"

    assert "the node depthwise, which the template has 2 times" in refusal(with_template(patched_bytes, rename))


def test_a_width_that_no_patch_follows_is_found(patched_bytes: bytes) -> None:
    patches = header_of(patched_bytes)["architecture"]["patches"]
    assert patches.pop()["node"] == "target"
    assert "the template makes no valid model at the smallest widths" in refusal(with_value(patched_bytes, ("architecture", "patches"), patches))


def test_a_constant_that_contradicts_itself_is_refused(patched_bytes: bytes) -> None:
    def lie(model: onnx.ModelProto) -> None:
        (target,) = [node for node in model.graph.node if node.name == "target"]
        target.attribute[0].t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(target.attribute[0].t)))
        target.attribute[0].t.dims[0] = 3

    assert "a patch does not fit the template" in refusal(with_template(patched_bytes, lie))
