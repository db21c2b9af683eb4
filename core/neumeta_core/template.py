"""The template: a network's ONNX graph without its generated weights, and how a member's graph follows from it.

Resizing a network changes the shapes of some initializers and a few integers (`group` of a depthwise convolution, the
target of a Reshape). So a member is template + patches + initializers, and no request pays for an export.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod

import onnx

from neumeta_core import wire
from neumeta_core.architecture import Architecture, Patch, Widths, axis_size
from neumeta_core.errors import AssemblyError
from neumeta_core.precision.encoding import Array

OPSET = 17
IR_VERSION = 8
MAX_PATCHED = 256
"""Most entries of a tensor in which patches set some: those are shapes and bounds, and every build makes the tensor anew."""


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


def _apply(nodes: Iterable[onnx.NodeProto], patches: Sequence[Patch], widths: Widths) -> None:
    attributes = _attributes(nodes, {patch.node for patch in patches})
    integers: dict[tuple[str, str], dict[int | None, int]] = {}
    for patch in patches:
        integers.setdefault((patch.node, patch.attribute), {})[patch.index] = axis_size(patch.axis, widths)
    for (node, name), by_index in integers.items():
        attribute = attributes.get((node, name))
        if attribute is None:
            raise AssemblyError(f"the template has no attribute {name} on a node {node}.")
        _set_integers(attribute, node, by_index)


def _attributes(nodes: Iterable[onnx.NodeProto], names: set[str]) -> dict[tuple[str, str], onnx.AttributeProto]:
    """The attributes of the nodes with these names, by node and own name."""
    return {(node.name, attribute.name): attribute for node in nodes if node.name in names for attribute in node.attribute}


def _set_integers(attribute: onnx.AttributeProto, node: str, integers: Mapping[int | None, int]) -> None:
    """Set integers of one attribute by their index. A tensor is taken apart and put together once, however many of its entries are set."""
    values = _entries(attribute, node)
    for index, value in integers.items():
        try:
            if values is not None:
                values.reshape(-1)[index or 0] = value
            elif attribute.type == onnx.AttributeProto.INTS and index is not None:
                attribute.ints[index] = value
            elif attribute.type == onnx.AttributeProto.INT and index is None:
                attribute.i = value
            else:
                raise IndexError
        except (IndexError, ValueError, OverflowError):
            raise AssemblyError(f"attribute {attribute.name} of node {node} has no integer at index {index} that can be {value}.") from None
    if values is not None:
        attribute.t.CopyFrom(onnx.numpy_helper.from_array(values, attribute.t.name))


def _entries(attribute: onnx.AttributeProto, node: str) -> Array | None:
    """A copy of the int64 tensor that the attribute is, None if it is none."""
    if attribute.type != onnx.AttributeProto.TENSOR or attribute.t.data_type != onnx.TensorProto.INT64:
        return None
    try:
        values: Array = onnx.numpy_helper.to_array(attribute.t)
    except (IndexError, ValueError):
        raise AssemblyError(f"attribute {attribute.name} of node {node} has other values than its dimensions say.") from None
    # Counted here and not from the dimensions, which may be negative.
    if values.size > MAX_PATCHED:
        raise AssemblyError(f"attribute {attribute.name} of node {node} has {values.size} entries; a tensor with a patch has at most {MAX_PATCHED}.")
    return values.copy()
