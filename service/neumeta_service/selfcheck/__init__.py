"""Whether artifacts work where clients run them: in onnxruntime, on the canary inputs of their manifold."""

from neumeta_service.selfcheck.inspector import Inspector, find_inspector
from neumeta_service.selfcheck.quarantine import Quarantine

__all__ = ["Inspector", "Quarantine", "find_inspector"]
