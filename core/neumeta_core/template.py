"""The template: a network's ONNX graph without its generated weights, and how a member's graph follows from it.

Resizing a network changes the shapes of some initializers and a few integers (`group` of a depthwise convolution, the
target of a Reshape). So a member is template + patches + initializers, and no request pays for an export.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod

import onnx

from neumeta_core import wire
from neumeta_core.architecture import Architecture, Patch, Widths, axis_size
from neumeta_core.errors import AssemblyError
from neumeta_core.precision.encoding import Array

OPSET = 17
IR_VERSION = 8


def fill(template: onnx.ModelProto, architecture: Architecture, widths: Widths, tensors: Mapping[str, Array]) -> onnx.ModelProto:
    """A copy of the template at these widths, with the generated initializers set; see ``check_arrays`` for its errors."""
    model = hollow(template, architecture, widths)
    check_arrays(model, architecture, tensors)
    return onnx.load_from_string(wire.join(wire.lay_out(model, sizes_of(model, architecture)), tensors))


def hollow(template: onnx.ModelProto, architecture: Architecture, widths: Widths) -> onnx.ModelProto:
    """A copy of the template at these widths: the shapes of all generated initializers and all patched integers; values are missing."""
    model = onnx.ModelProto()
    model.CopyFrom(template)
    for initializer in model.graph.initializer:
        shape = _shape(architecture, initializer.name, widths)
        if shape is not None:
            del initializer.dims[:]
            initializer.dims.extend(shape)
    _apply(model.graph.node, architecture.patches, widths)
    return model


def check_arrays(hollowed: onnx.ModelProto, architecture: Architecture, tensors: Mapping[str, Array]) -> None:
    """AssemblyError unless there is an array of the right shape and element type for every generated initializer."""
    for initializer in hollowed.graph.initializer:
        if initializer.name in architecture.by_name:
            _check_array(initializer, tensors.get(initializer.name))


def sizes_of(hollowed: onnx.ModelProto, architecture: Architecture) -> dict[str, int]:
    """Bytes of the values of every generated initializer, by name."""
    generated = (initializer for initializer in hollowed.graph.initializer if initializer.name in architecture.by_name)
    return {tensor.name: prod(tensor.dims) * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize for tensor in generated}


def _shape(architecture: Architecture, name: str, widths: Widths) -> tuple[int, ...] | None:
    parameter = architecture.by_name.get(name)
    return None if parameter is None else parameter.shape(widths)


def _check_array(initializer: onnx.TensorProto, values: Array | None) -> None:
    if values is None:
        raise AssemblyError(f"no values were made for the parameter {initializer.name}.")
    dtype = onnx.helper.tensor_dtype_to_np_dtype(initializer.data_type)
    if values.shape != tuple(initializer.dims) or values.dtype != dtype:
        raise AssemblyError(f"{initializer.name}: {values.dtype} {values.shape} does not fit; expected {dtype} {tuple(initializer.dims)}.")


def _apply(nodes: Iterable[onnx.NodeProto], patches: Iterable[Patch], widths: Widths) -> None:
    by_name = {node.name: node for node in nodes}
    for patch in patches:
        attribute = next((a for a in by_name[patch.node].attribute if a.name == patch.attribute), None) if patch.node in by_name else None
        if attribute is None:
            raise AssemblyError(f"the template has no attribute {patch.attribute} on a node {patch.node}.")
        try:
            _set_integer(attribute, patch.index, axis_size(patch.axis, widths))
        except (IndexError, ValueError):
            raise AssemblyError(f"attribute {patch.attribute} of node {patch.node} has no integer at index {patch.index}.") from None


def _set_integer(attribute: onnx.AttributeProto, index: int | None, value: int) -> None:
    if attribute.type == onnx.AttributeProto.TENSOR and attribute.t.data_type == onnx.TensorProto.INT64:
        values = onnx.numpy_helper.to_array(attribute.t).copy()
        values.reshape(-1)[index or 0] = value
        attribute.t.CopyFrom(onnx.numpy_helper.from_array(values, attribute.t.name))
    elif attribute.type == onnx.AttributeProto.INTS and index is not None:
        attribute.ints[index] = value
    elif attribute.type == onnx.AttributeProto.INT and index is None:
        attribute.i = value
    else:
        raise IndexError
