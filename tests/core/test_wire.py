from __future__ import annotations

import numpy as np
import onnx
import pytest
from neumeta_core import wire
from onnx import TensorProto, helper, numpy_helper

from tests import patched, tiny

LENGTHS = [0, 1, 126, 127, 128, 129, 16_383, 16_384, 2_097_152]
"""Around the lengths at which one more byte is needed to write a length."""


def model_of(arrays: dict[str, np.ndarray], *, empty: bool) -> onnx.ModelProto:
    """One initializer for each array, and one that is never taken out; ``empty`` leaves the values out."""
    tensors = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    for tensor in tensors:
        if empty:
            tensor.ClearField("raw_data")
    kept = numpy_helper.from_array(np.arange(5, dtype=np.int64), "kept")
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None])
    graph = helper.make_graph([helper.make_node("Identity", [next(iter(arrays))], ["y"])], "g", [], [output], [kept, *tensors])
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)], producer_name="p", domain="d")
    model.metadata_props.add(key="k", value="v")
    return model


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("dtype", [np.int8, np.float32])
def test_the_file_is_what_the_library_writes(length: int, dtype: type[np.generic]) -> None:
    arrays = {"a": np.full(length, 3, dtype), "b": np.arange(6, dtype=np.float32).reshape(2, 3).T}
    sizes = {name: array.nbytes for name, array in arrays.items()}
    expected = model_of(arrays, empty=False)
    if not length:  # the library leaves an empty field out; a reader takes both alike
        expected.graph.initializer[1].raw_data = b""
    pieces = wire.lay_out(model_of(arrays, empty=True), sizes)
    data = wire.join(pieces, arrays)
    assert data == expected.SerializeToString(deterministic=True)
    assert wire.length(pieces, sizes) == len(data)


@pytest.mark.parametrize("template", [tiny.tiny_template(tiny.tiny_architecture()), patched.patched_template(patched.patched_architecture())])
def test_templates_without_values_are_written_as_by_the_library(template: onnx.ModelProto) -> None:
    expected = template.SerializeToString(deterministic=True)
    assert wire.join(wire.lay_out(template, {}), {}) == expected
