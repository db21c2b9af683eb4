"""fp16: weights and arithmetic in half precision, with a Cast at each end."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np
import onnx
from torch import Tensor

from neumeta_core.architecture import Architecture
from neumeta_core.errors import WeightTooLarge
from neumeta_core.precision.encoding import Array, Encoding, finite
from neumeta_core.precision.names import free, names

FLOAT, FLOAT16 = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16
# Inputs that stay fp32 in every opset, by operator.
_FP32_INPUTS = {"Resize": (1, 2), "Upsample": (1,)}
# What puts such an input together: the exporter folds nothing. Shape is not among them, for behind it are activations.
_PUT_TOGETHER = {"Cast", "Concat", "Div", "Gather", "Identity", "Mul", "Reshape", "Slice", "Squeeze", "Unsqueeze"}


class Fp16(Encoding):
    """Weights, constants and arithmetic in fp16."""

    def __init__(self, template: onnx.ModelProto, architecture: Architecture) -> None:
        super().__init__(to_half(template), architecture)

    def encode(self, weights: Mapping[str, Tensor]) -> dict[str, Array]:
        """See ``Encoding.encode``."""
        return {name: finite(name, values, np.float16, "fp16") for name, values in weights.items()}


def to_half(template: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of an fp32 template that computes in fp16; inputs and outputs stay fp32, with a Cast at each.

    Raises WeightTooLarge when a weight that the template holds is too large for fp16.
    """
    model = onnx.ModelProto()
    model.CopyFrom(template)
    graph = model.graph
    kept = _kept(graph)
    for initializer in graph.initializer:
        if initializer.name not in kept:
            _halve(initializer, initializer.name)
    for node in graph.node:
        if not kept.intersection(node.output):
            _halve_attributes(node)
    _cast_ends(graph)
    return model


def _kept(graph: onnx.GraphProto) -> set[str]:
    """Names of what stays fp32: the inputs that have to, and what they are put together from, generated weights excepted."""
    makers = {name: node for node in graph.node for name in node.output}
    generated = {tensor.name for tensor in graph.initializer if not tensor.raw_data and not tensor.float_data and prod(tensor.dims)}
    waiting = [node.input[i] for node in graph.node for i in _FP32_INPUTS.get(node.op_type, ()) if i < len(node.input)]
    kept: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name and name not in kept and name not in generated:
            kept.add(name)
            if name in makers and makers[name].op_type in _PUT_TOGETHER:
                waiting.extend(makers[name].input)
    return kept


def _halve(tensor: onnx.TensorProto, name: str) -> None:
    if tensor.data_type != FLOAT:
        return
    if tensor.raw_data or tensor.float_data:
        values = onnx.numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if (np.isfinite(values) & ~np.isfinite(half)).any():
            raise WeightTooLarge("fp16", name, float(np.finfo(np.float16).max))
        tensor.ClearField("float_data")
        tensor.raw_data = half.tobytes()
    tensor.data_type = FLOAT16


def _halve_attributes(node: onnx.NodeProto) -> None:
    if node.op_type == "ConstantOfShape" and not node.attribute:
        node.attribute.append(onnx.helper.make_attribute("value", onnx.numpy_helper.from_array(np.zeros(1, np.float32))))
    for attribute in node.attribute:
        if node.op_type == "Constant" and attribute.name in ("value_float", "value_floats"):
            floats = np.array(onnx.helper.get_attribute_value(attribute), np.float32)
            attribute.CopyFrom(onnx.helper.make_attribute("value", onnx.numpy_helper.from_array(floats)))
        if attribute.type == onnx.AttributeProto.TENSOR:
            _halve(attribute.t, node.name)
        elif node.op_type == "Cast" and attribute.name == "to" and attribute.i == FLOAT:
            attribute.i = FLOAT16


def _cast_ends(graph: onnx.GraphProto) -> None:
    taken = names(graph)
    inputs = {value.name: free(f"{value.name}.fp16", taken) for value in graph.input if value.type.tensor_type.elem_type == FLOAT}
    outputs = {value.name: free(f"{value.name}.fp16", taken) for value in graph.output if value.type.tensor_type.elem_type == FLOAT}
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = inputs.get(name, outputs.get(name, name))
        for index, name in enumerate(node.output):
            node.output[index] = outputs.get(name, name)
    nodes = list(graph.node)
    before = [onnx.helper.make_node("Cast", [name], [half], name=f"{name}/to_fp16", to=FLOAT16) for name, half in inputs.items()]
    after = [onnx.helper.make_node("Cast", [half], [name], name=f"{name}/to_fp32", to=FLOAT) for name, half in outputs.items()]
    del graph.node[:]
    graph.node.extend(before + nodes + after)
