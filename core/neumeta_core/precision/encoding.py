"""What a precision does to a family: another template, and other arrays in it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from torch import Tensor

from neumeta_core.architecture import Architecture
from neumeta_core.errors import AssemblyError, WeightTooLarge

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
        """The arrays that ``template.fill`` takes, from fp32 weights; see ``finite`` for its errors."""


def finite(name: str, values: Tensor, dtype: type[np.floating[Any]], precision: str) -> Array:
    """The values in this element type. WeightTooLarge when it cannot hold one, AssemblyError when one is not finite already."""
    given: Array = values.detach().cpu().numpy()
    with np.errstate(over="ignore"):
        array: Array = given.astype(dtype, copy=False)
    if not np.isfinite(array).all():
        if np.isfinite(given).all():
            raise WeightTooLarge(precision, name, float(np.finfo(dtype).max))
        raise AssemblyError(f"{name} has values that are not finite in {precision}.")
    return array
