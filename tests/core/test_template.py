from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from neumeta_core.architecture import Architecture, Patch
from neumeta_core.errors import AssemblyError
from neumeta_core.template import fill, hollow
from onnx import TensorProto, helper, numpy_helper

from tests import patched
from tests.tiny import group, tiny_architecture, tiny_template

WIDTHS = {"a": 4, "b": 3}


def arrays(architecture: Architecture, widths: dict[str, int]) -> dict[str, np.ndarray[Any, Any]]:
    return {p.name: np.random.default_rng(0).random(p.shape(widths), np.float32) for p in architecture.parameters}


def attribute(model: onnx.ModelProto, node: str, name: str) -> Any:
    (found,) = [a for n in model.graph.node if n.name == node for a in n.attribute if a.name == name]
    return helper.get_attribute_value(found)


def test_a_filled_template_is_valid_and_holds_the_values() -> None:
    architecture = patched.patched_architecture()
    tensors = arrays(architecture, WIDTHS)
    model = fill(patched.patched_template(architecture), architecture, WIDTHS, tensors)
    onnx.checker.check_model(model, full_check=True)
    made = {initializer.name: numpy_helper.to_array(initializer) for initializer in model.graph.initializer}
    for name, values in tensors.items():
        assert np.array_equal(made[name], values)
    assert made["head.bias"].tolist() == list(patched.BIAS)


def test_the_group_of_a_depthwise_convolution_follows_its_width() -> None:
    architecture = patched.patched_architecture()
    model = fill(patched.patched_template(architecture), architecture, WIDTHS, arrays(architecture, WIDTHS))
    assert attribute(model, "depthwise", "group") == 4


def test_one_entry_of_a_reshape_constant_follows_a_width() -> None:
    architecture = patched.patched_architecture()
    model = fill(patched.patched_template(architecture), architecture, WIDTHS, arrays(architecture, WIDTHS))
    target = attribute(model, "target", "value")
    assert numpy_helper.to_array(target).tolist() == [-1, 3 * patched.PIXELS]
    # The template wrote it as int64_data; values in two fields are no valid tensor.
    assert not target.int64_data


def test_the_template_itself_is_never_changed() -> None:
    architecture = patched.patched_architecture()
    template = patched.patched_template(architecture)
    before = template.SerializeToString(deterministic=True)
    fill(template, architecture, WIDTHS, arrays(architecture, WIDTHS))
    assert template.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize(
    ("patch", "made"),
    [
        (Patch(node="node", attribute="number", axis=group("a")), ("number", 4)),
        (Patch(node="node", attribute="list", index=2, axis=group("a", 5)), ("list", [7, 8, 20])),
        (Patch(node="node", attribute="tensor", index=1, axis=group("b")), ("tensor", [1, 3])),
        (Patch(node="node", attribute="scalar", axis=group("b")), ("scalar", 3)),
    ],
)
def test_integers_of_every_form_are_patched(patch: Patch, made: tuple[str, Any]) -> None:
    model = hollow(odd_model(), patched.patched_architecture().model_copy(update={"patches": (patch,)}), WIDTHS)
    value = attribute(model, "node", made[0])
    assert (numpy_helper.to_array(value).tolist() if isinstance(value, TensorProto) else value) == made[1]


def test_several_integers_of_one_attribute_are_patched_together() -> None:
    patches = tuple(
        Patch(node="node", attribute=name, index=index, axis=axis)
        for name in ("tensor", "list")
        for index, axis in ((1, group("b")), (0, group("a")))
    )
    model = hollow(odd_model(), patched.patched_architecture().model_copy(update={"patches": patches}), WIDTHS)
    assert numpy_helper.to_array(attribute(model, "node", "tensor")).tolist() == [4, 3]
    assert attribute(model, "node", "list") == [4, 3, 9]


@pytest.mark.parametrize(
    "patch",
    [
        Patch(node="nowhere", attribute="number", axis=group("a")),
        Patch(node="node", attribute="nothing", axis=group("a")),
        Patch(node="node", attribute="number", index=0, axis=group("a")),
        Patch(node="node", attribute="list", axis=group("a")),
        Patch(node="node", attribute="list", index=3, axis=group("a")),
        Patch(node="node", attribute="tensor", index=2, axis=group("a")),
        Patch(node="node", attribute="floats", index=0, axis=group("a")),
        Patch(node="node", attribute="name", axis=group("a")),
        Patch(node="node", attribute="broken", index=0, axis=group("a")),
    ],
)
def test_a_patch_that_fits_nothing_is_an_error_that_names_the_node(patch: Patch) -> None:
    with pytest.raises(AssemblyError, match=f"{patch.attribute}.* node {patch.node}"):
        hollow(odd_model(), patched.patched_architecture().model_copy(update={"patches": (patch,)}), WIDTHS)


def odd_model() -> onnx.ModelProto:
    """One node with attributes of every form; hollow does not ask whether the operator exists."""
    broken = numpy_helper.from_array(np.array([1, 2]), "broken")
    broken.dims[0] = 3
    node = helper.make_node(
        "Anything",
        [],
        [],
        name="node",
        number=1,
        list=[7, 8, 9],
        tensor=numpy_helper.from_array(np.array([1, 2]), "tensor"),
        scalar=numpy_helper.from_array(np.array(1), "scalar"),
        floats=numpy_helper.from_array(np.float32([1, 2]), "floats"),
        broken=broken,
    )
    node.attribute.append(helper.make_attribute("name", "text"))
    return helper.make_model(helper.make_graph([node], "odd", [], []))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda tensors: tensors.pop("conv2.bias"), "no values were made for the parameter conv2.bias"),
        (
            lambda tensors: tensors.update({"conv2.bias": np.zeros(4, np.float32)}),
            r"conv2.bias: float32 \(4,\) does not fit; expected float32 \(5,\)",
        ),
        (lambda tensors: tensors.update({"conv2.bias": np.zeros((5, 1), np.float32)}), "conv2.bias: float32"),
        (lambda tensors: tensors.update({"conv2.bias": np.zeros(5, np.float64)}), "conv2.bias: float64"),
    ],
)
def test_missing_and_ill_shaped_values_are_refused(change: Any, sentence: str) -> None:
    architecture, widths = tiny_architecture(), {"conv1": 3, "conv2": 5}
    tensors = arrays(architecture, widths)
    change(tensors)
    with pytest.raises(AssemblyError, match=sentence):
        fill(tiny_template(architecture), architecture, widths, tensors)
