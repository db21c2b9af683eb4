"""fp32: the template and the weights as they are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from neumeta_core.precision.encoding import Array, Encoding, finite


class Fp32(Encoding):
    """Weights and arithmetic in fp32."""

    def encode(self, weights: Mapping[str, Tensor]) -> dict[str, Array]:
        """See ``Encoding.encode``."""
        return {name: finite(name, values, np.float32, "fp32") for name, values in weights.items()}
