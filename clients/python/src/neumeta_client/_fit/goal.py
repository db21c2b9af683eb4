"""What a network has to stay within."""

from __future__ import annotations

import math
from dataclasses import dataclass

from neumeta_client._errors import InvalidRequest
from neumeta_client._fit.latency import METRICS, Latency


def checked_metric(metric: str) -> str:
    """A metric that latency can be given in. Raises InvalidRequest."""
    if metric not in METRICS:
        raise InvalidRequest(f"metric: {metric!r:.100} is not allowed; expected {' or '.join(METRICS)}.")
    return metric


@dataclass(frozen=True)
class Goal:
    """Limits on milliseconds of a call by ``metric``, on bytes of the file and on bytes of memory. Raises InvalidRequest."""

    latency_ms: float
    metric: str = "p95"
    max_bytes: int | None = None
    max_memory_bytes: int | None = None

    def __post_init__(self) -> None:
        checked_metric(self.metric)
        if not _is_positive(self.latency_ms, (int, float)):
            raise InvalidRequest(f"latency_ms: {self.latency_ms!r:.100} is not allowed; expected a positive number of milliseconds.")
        for name in ("max_bytes", "max_memory_bytes"):
            limit = getattr(self, name)
            if limit is not None and not _is_positive(limit, int):
                raise InvalidRequest(f"{name}: {limit!r:.100} is not allowed; expected a positive integer.")

    def load(self, size: int, latency: Latency) -> float:
        """The measured share of what is allowed, of the limit that is used up most; at most 1 fits.

        Raises InvalidRequest when memory is limited and was not measured.
        """
        loads = [latency.of(self.metric) / self.latency_ms]
        if self.max_bytes is not None:
            loads.append(size / self.max_bytes)
        if self.max_memory_bytes is not None:
            if latency.memory_bytes is None:
                raise InvalidRequest("measure: its Latency has no memory_bytes; expected a number of bytes, as max_memory_bytes is given.")
            loads.append(latency.memory_bytes / self.max_memory_bytes)
        return max(loads)


def _is_positive(value: object, kind: type | tuple[type, ...]) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool) and math.isfinite(value) and value > 0  # type: ignore[arg-type, operator]
