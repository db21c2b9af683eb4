"""What a precision does to a family: another template, and other arrays in it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from torch import Tensor

from neumeta_core.architecture import Architecture
from neumeta_core.errors import AssemblyError

Array = np.ndarray[Any, Any]


class Encoding(ABC):
    """A family in one precision: ``template`` and ``architecture`` describe the initializers that its artifacts store.

    Made from the fp32 template and its architecture, which are left alone. Inputs and outputs are fp32 in every precision.
    """

    def __init__(self, template: onnx.ModelProto, architecture: Architecture) -> None:
        self.template = template
        self.architecture = architecture

    @abstractmethod
    def encode(self, weights: Mapping[str, Tensor]) -> dict[str, Array]:
        """The arrays that ``template.fill`` takes, from fp32 weights. AssemblyError for values that are not finite in this precision."""


def finite(name: str, values: Tensor, dtype: type[np.floating[Any]], precision: str) -> Array:
    """The values in this element type; AssemblyError when one is not finite there."""
    with np.errstate(over="ignore"):
        array: Array = values.detach().cpu().numpy().astype(dtype, copy=False)
    if not np.isfinite(array).all():
        raise AssemblyError(f"{name} has values that are not finite in {precision}.")
    return array
