"""INR + configuration -> weights.

``materialize`` is the plain path: what weights are by definition. ``Materializer`` makes the same weights, up to rounding, at the
speed of the hardware: one for each kind of INR and device, prepared once for a trained INR. ``to_host`` fetches them.
"""

from __future__ import annotations

from neumeta_core.materialize.host import all_to_host, to_host
from neumeta_core.materialize.materializer import Materializer, prepare
from neumeta_core.materialize.reference import materialize
from neumeta_core.materialize.threads import computing_with, is_single_threaded

__all__ = ["Materializer", "all_to_host", "computing_with", "is_single_threaded", "materialize", "prepare", "to_host"]
