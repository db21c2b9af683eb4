"""What measurements came to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from neumeta_client._artifact import Artifact
from neumeta_client._fit.device import Device
from neumeta_client._fit.goal import Goal
from neumeta_client._fit.latency import Latency
from neumeta_client._fit.runtime import PROVIDERS, session_options

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


@dataclass(frozen=True)
class Measurement:
    """One size on this device: its effective compression, cost, expected quality (None when the model has no curve) and latency."""

    compression: float
    params: int
    macs: int
    bytes: int
    quality: float | None
    latency: Latency


@dataclass(frozen=True)
class Candidate(Measurement):
    """A size that was tried, and whether it stays within all limits."""

    fits: bool


@dataclass(frozen=True)
class FitReport:
    """Every artifact that was measured, in the order of measurement, and what it was measured against and with."""

    model: str
    version: int
    precision: str
    goal: Goal
    device: Device
    candidates: tuple[Candidate, ...]

    @property
    def lowest_latency_ms(self) -> float:
        """The lowest latency that was reached, in the wanted metric."""
        return min(candidate.latency.of(self.goal.metric) for candidate in self.candidates)


@dataclass(frozen=True)
class Fit:
    """The largest network that stays within the limits, its latency in the wanted metric, and the report."""

    artifact: Artifact
    latency_ms: float
    report: FitReport

    def session(self) -> InferenceSession:
        """An onnxruntime session of the network, as it was measured. Raises what ``Artifact.session`` raises."""
        return self.artifact.session(sess_options=session_options(self.report.device.threads), providers=PROVIDERS)
