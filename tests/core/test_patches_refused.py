"""Patches that do not fit their template are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.surgery import header_of, refusal, with_template, with_value


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


def test_a_constant_that_fits_the_smallest_member_alone_is_found(patched_bytes: bytes) -> None:
    patches = header_of(patched_bytes)["architecture"]["patches"]
    assert patches.pop()["node"] == "target"

    def fit(model: onnx.ModelProto) -> None:
        (target,) = [node for node in model.graph.node if node.name == "target"]
        target.attribute[0].t.CopyFrom(numpy_helper.from_array(np.array([-1, 36])))

    data = with_template(with_value(patched_bytes, ("architecture", "patches"), patches), fit)
    assert "the template makes no valid model at the full widths" in refusal(data)


def test_a_constant_that_contradicts_itself_is_refused(patched_bytes: bytes) -> None:
    def lie(model: onnx.ModelProto) -> None:
        (target,) = [node for node in model.graph.node if node.name == "target"]
        target.attribute[0].t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(target.attribute[0].t)))
        target.attribute[0].t.dims[0] = 3

    assert "a patch does not fit the template" in refusal(with_template(patched_bytes, lie))
