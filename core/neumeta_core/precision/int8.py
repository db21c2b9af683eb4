"""int8: kernels in eight bits with one scale per output channel, made fp32 again inside the graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from torch import Tensor

from neumeta_core.architecture import Architecture, GeneratedParameter
from neumeta_core.precision.encoding import Array, Encoding, finite
from neumeta_core.precision.names import free, names

LARGEST = 127


@dataclass(frozen=True)
class _Kernel:
    """A generated parameter that is stored in int8, and the names of what is stored for it."""

    parameter: GeneratedParameter
    values: str
    scale: str
    node: str

    def stored(self) -> tuple[GeneratedParameter, GeneratedParameter]:
        """The int8 values, and one scale per entry of the output axis."""
        along_output = self.parameter.axes[self.parameter.out_dim]
        values = self.parameter.model_copy(update={"name": self.values})
        return values, GeneratedParameter(name=self.scale, axes=(along_output,), macs_per_element=0)

    def dequantized(self) -> onnx.NodeProto:
        """The node that makes the fp32 kernel, under the name that its users know; a zero point that is left out is 0."""
        inputs, axis = [self.values, self.scale], self.parameter.out_dim
        return onnx.helper.make_node("DequantizeLinear", inputs, [self.parameter.name], name=self.node, axis=axis)

    def encode(self, values: Array) -> dict[str, Array]:
        """Symmetric: the largest magnitude of every output channel is 127."""
        others = tuple(dim for dim in range(values.ndim) if dim != self.parameter.out_dim)
        scale = np.abs(values).max(axis=others, keepdims=True, initial=0) / np.float32(LARGEST)
        scale[scale == 0] = 1  # a channel of zeros, or one so small that its scale is 0 in fp32
        # The scale of values near the smallest of fp32 has few digits: their quotient can pass 127.
        whole = np.clip(np.rint(values / scale), -LARGEST, LARGEST).astype(np.int8)
        return {self.values: whole, self.scale: scale.reshape(-1)}


class Int8(Encoding):
    """Generated kernels in int8, everything else and the arithmetic in fp32.

    A kernel has input channels; vectors (biases, scales) and what the template holds itself stay fp32. See the ONNX operator
    ``DequantizeLinear``.
    """

    def __init__(self, template: onnx.ModelProto, architecture: Architecture) -> None:
        taken = names(template.graph)
        kernels = [_named(parameter, taken) for parameter in architecture.parameters if parameter.in_dim is not None]
        self._kernels = {kernel.parameter.name: kernel for kernel in kernels}
        super().__init__(self._quantized(template), self._extended(architecture))

    def encode(self, weights: Mapping[str, Tensor]) -> dict[str, Array]:
        """See ``Encoding.encode``."""
        arrays: dict[str, Array] = {}
        for name, values in weights.items():
            array, kernel = finite(name, values, np.float32, "int8"), self._kernels.get(name)
            arrays |= {name: array} if kernel is None else kernel.encode(array)
        return arrays

    def _quantized(self, template: onnx.ModelProto) -> onnx.ModelProto:
        """A copy in which a node makes every kernel, under its old name, so that the users of the kernel stay as they are."""
        model = onnx.ModelProto()
        model.CopyFrom(template)
        for initializer in model.graph.initializer:
            if kernel := self._kernels.get(initializer.name):
                initializer.name, initializer.data_type = kernel.values, onnx.TensorProto.INT8
        model.graph.initializer.extend(onnx.TensorProto(name=kernel.scale, data_type=onnx.TensorProto.FLOAT) for kernel in self._kernels.values())
        nodes = list(model.graph.node)
        del model.graph.node[:]
        model.graph.node.extend([*(kernel.dequantized() for kernel in self._kernels.values()), *nodes])
        return model

    def _extended(self, architecture: Architecture) -> Architecture:
        """With what is stored in place of the kernels. Derived from what was checked, so it is not checked again."""
        stored: list[GeneratedParameter] = []
        for parameter in architecture.parameters:
            kernel = self._kernels.get(parameter.name)
            stored += [parameter] if kernel is None else kernel.stored()
        return Architecture.model_construct(
            groups=architecture.groups, parameters=tuple(stored), patches=architecture.patches, max_compression=architecture.max_compression
        )


def _named(parameter: GeneratedParameter, taken: set[str]) -> _Kernel:
    return _Kernel(parameter, *(free(f"{parameter.name}/{part}", taken) for part in ("int8", "scale", "dequantize")))
