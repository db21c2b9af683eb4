"""One size of a network, loaded and warm."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from typing import Any

from neumeta_client._artifact import Artifact


class Network:
    """An onnxruntime session that has run once, and the milliseconds of its last ``window`` calls.

    Nobody counts its users: each call holds a reference, and the last one that is dropped frees the session. Raises MissingExtra
    without onnxruntime, and onnxruntime's own errors for a network that it cannot load or run.
    """

    def __init__(self, artifact: Artifact, compression: float, *, window: int, options: Mapping[str, Any]) -> None:
        self.artifact = artifact
        self.compression = compression
        self.session = artifact.session(**options)
        self.objected = 0
        """The call after which pressures last had something against a larger size; for whoever judges."""
        self._calls = 0
        self._recent: deque[float] = deque(maxlen=window)
        self._lock = threading.Lock()
        self._warm_up()

    def record(self, milliseconds: float) -> int:
        """Remember how long a call took; how many there were, this one included."""
        with self._lock:
            self._recent.append(milliseconds)
            self._calls += 1
            return self._calls

    def recent(self) -> tuple[float, ...]:
        """Milliseconds of the last calls, oldest first."""
        with self._lock:
            return tuple(self._recent)

    def _warm_up(self) -> None:
        """Run on zeros: the first call is the slowest, and a network that cannot run is found before anyone depends on it."""
        import numpy

        wanted = self.artifact.manifest.input
        self.session.run(None, {wanted.name: numpy.zeros((1, *wanted.shape), dtype=numpy.float32)})
