"""What is no whole, consistent manifold is refused with a sentence that says what is wrong; never another exception."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from neumeta_core.architecture import Architecture, ChannelGroup, GeneratedParameter
from neumeta_core.consistency import check_count
from neumeta_core.header import Header, InputSpec
from neumeta_core.inr import AnchoredSettings, FactorisedSettings, InrSettings, MlpSettings, build_inr
from neumeta_core.manifold import Manifold
from onnx import TensorProto, helper
from torch import Tensor

from tests.surgery import header_of, refusal, with_header_text, with_tensors, with_value
from tests.tiny import fixed, group

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
        (("version",), 10**9, "version"),
        (("version",), 10**30, "version"),
        (("labels",), "zero", "labels"),
        (("input", "shape"), [1, -8, 8], "input.shape.1"),
        (("input", "std"), [0.0], "input.std.0"),
        (("input", "mean"), ["0.5"], "input.mean.0"),
        (("input", "mean"), [0.5, 0.5, 0.5], "input"),
        (("input", "std"), [0.5, 0.5], "input"),
        (("input", "layout"), "NC", "input"),
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
        (("architecture", "parameters", 0, "axes"), [[{"count": 1}]] * 33, "architecture.parameters.0.axes"),
        (("curve", "points"), [], "curve.points"),
        (("curve", "points"), [{"compression": 0, "widths": {}, "params": 1, "macs": 1, "quality": 1}] * 1001, "curve.points"),
        (("curve", "points", 0, "widths", "conv1"), 10**400, "curve.points.0.widths.conv1"),
        (("curve", "points", 0, "widths", "conv1"), -12, "curve.points.0.widths.conv1"),
        (("curve", "points", 0, "macs"), 10**40, "curve.points.0.macs"),
        (("curve", "points", 0, "quality"), 1.7e308, "curve.points.0.quality"),
        (("curve", "points", 0, "quality_in"), {"fp16": -1.7e308}, "curve.points.0.quality_in.fp16"),
    ],
)
def test_a_field_that_is_not_valid_is_named(tiny_bytes: bytes, path: tuple[str | int, ...], value: Any, where: str) -> None:
    assert refusal(with_value(tiny_bytes, path, value)).startswith(f"the header is not valid at {where}: ")


def test_the_highest_version_is_read(tiny_bytes: bytes) -> None:
    assert Manifold.from_bytes(with_value(tiny_bytes, ("version",), 999_999_999)).header.version == 999_999_999


@pytest.mark.parametrize("length", [10**6, 401])
def test_a_long_name_makes_no_long_reason(tiny_bytes: bytes, length: int) -> None:
    name = "x" * length
    assert refusal(with_value(tiny_bytes, ("format_version",), name)).startswith("the file has format version 'xxx")
    assert refusal(with_value(tiny_bytes, ("architecture", "parameters", 0, "name"), name)).endswith("…")


def test_a_missing_field_is_named(tiny_bytes: bytes) -> None:
    header = header_of(tiny_bytes)
    del header["architecture"]["groups"]
    assert refusal(with_header_text(tiny_bytes, json.dumps(header))) == "the header is not valid at architecture.groups: Field required."


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("widths", {"conv1": 4}, "point 0 of the curve is no member of this family: widths.conv2: None is not allowed"),
        ("widths", {"conv1": 8, "conv2": 12, "more": 1}, "point 0 of the curve is no member of this family: widths.more: 1 is not allowed"),
        ("widths", {"conv1": 8, "conv2": 2**29}, "point 0 of the curve has 1535 parameters and"),
        ("macs", 1, "point 0 of the curve has 1535 parameters and 1 multiply-adds; its widths come to 1535 and"),
        ("params", 1, "point 0 of the curve has 1 parameters and"),
    ],
)
def test_a_point_of_the_curve_that_is_no_member_is_refused(tiny_bytes: bytes, field: str, value: Any, sentence: str) -> None:
    assert refusal(with_value(tiny_bytes, ("curve", "points", 0, field), value)).startswith(sentence)


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


@pytest.mark.parametrize("shape", [[0, 2**62, 2**62], [0, 2**63]])
def test_an_empty_tensor_of_a_size_that_no_tensor_has_is_refused(tiny_bytes: bytes, shape: list[int]) -> None:
    length = int.from_bytes(tiny_bytes[:8], "little")
    table, values = json.loads(tiny_bytes[8 : 8 + length]), tiny_bytes[8 + length :]
    table["inr.empty"] = {"dtype": "F32", "shape": shape, "data_offsets": [len(values), len(values)]}
    text = json.dumps(table).encode()
    assert refusal(len(text).to_bytes(8, "little") + text + values).startswith("the file is damaged: ")


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


def test_an_inr_of_a_size_that_no_tensor_has_is_refused(tiny_bytes: bytes) -> None:
    header = header_of(tiny_bytes)
    header["inr"] = {"kind": "mlp", "layers": 1, "hidden": 1}
    header["architecture"]["parameters"][2]["axes"] = [[{"count": 1}], [{"count": 1}], [{"count": 2**28}]]
    header["architecture"]["parameters"][4]["axes"] = [[{"count": 1, "repeat": 2**15}], [{"count": 1, "repeat": 2**12}]]
    assert "cannot be built" in refusal(with_header_text(tiny_bytes, json.dumps(header)))


def of_one_parameter(settings: InrSettings, path: Path, *shape: int) -> bytes:
    """The file of a network that adds up one generated parameter, whose axes are all fixed, and one that resizes."""
    axes, in_dim = tuple(fixed(size) for size in shape), 1 if len(shape) > 1 else None
    parameters = (
        GeneratedParameter(name="w", axes=(group("a"),), macs_per_element=0),
        GeneratedParameter(name="parameter", axes=axes, in_dim=in_dim, macs_per_element=0),
    )
    architecture = Architecture(groups=(ChannelGroup(name="a", full=4, minimum=1),), parameters=parameters, max_compression=0.5)
    inr = build_inr(architecture, settings)
    nodes = [helper.make_node("ReduceSum", [each.name], [f"sum of {each.name}"], keepdims=0) for each in parameters]
    nodes.append(helper.make_node("Sum", ["input", *(f"sum of {each.name}" for each in parameters)], ["logits"]))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 1]) for name in ("input", "logits")]
    empty = [TensorProto(name=each.name, data_type=TensorProto.FLOAT, dims=each.shape({"a": 4})) for each in parameters]
    graph = helper.make_graph(nodes, "sums", ends[:1], ends[1:], empty)
    template = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    header = Header(name="sums", version=1, task="none", input=InputSpec(shape=(1,), layout="NC"), architecture=architecture, inr=settings)
    Manifold(header, inr, template.SerializeToString()).save(path)
    return path.read_bytes()


@pytest.mark.parametrize("settings", [FactorisedSettings(hidden=16, rank=1), MlpSettings(layers=1, hidden=16)], ids=str)
def test_channels_of_which_a_small_file_has_more_than_memory_holds_are_refused(settings: InrSettings, tmp_path: Path) -> None:
    assert Manifold.from_bytes(of_one_parameter(settings, tmp_path / "file", 1000))
    data = of_one_parameter(settings, tmp_path / "file", 500_000_000)
    assert len(data) < 10_000
    assert "values for single channels of the full network; at most 536870912 are allowed" in refusal(data)


def test_a_network_whose_artifact_no_reader_would_open_is_refused(tmp_path: Path) -> None:
    settings = MlpSettings(layers=1, hidden=1)
    assert Manifold.from_bytes(of_one_parameter(settings, tmp_path / "file", 24573, 21000))
    # As many values as a network may have but for four, and then what surrounds them.
    data = of_one_parameter(settings, tmp_path / "file", 24573, 21848)
    assert re.match("the artifact of the full network would have 21474[0-9]+ bytes; an ONNX file has at most 2147483647.", refusal(data))
