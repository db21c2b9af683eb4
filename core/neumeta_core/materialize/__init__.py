"""INR + configuration -> weights.

``materialize`` is the plain path: what weights are by definition. ``Materializer`` makes the same weights, up to rounding, at the
speed of the hardware: one for each kind of INR, prepared once for a trained INR.
"""

from __future__ import annotations

from neumeta_core.materialize.materializer import Materializer, prepare
from neumeta_core.materialize.reference import materialize

__all__ = ["Materializer", "materialize", "prepare"]
