from __future__ import annotations

import hashlib

from neumeta_core.configuration import Configuration
from neumeta_core.spec import Spec
from neumeta_service.cache import Entry, Origin


def entry(number: int = 0, size: int = 1000) -> Entry:
    """An entry of which every part follows from ``number`` and ``size``."""
    spec = Spec("tiny", 1, f"sha256:{'a' * 64}", Configuration((("conv1", 2 + number), ("conv2", 3))), "fp32")
    data = (str(number).encode() * size)[:size]
    return Entry(Origin(spec.cache_key("cpu-fp32-k1"), spec), f"sha256:{hashlib.sha256(data).hexdigest()}", f"tiny-{number}.onnx", data)
