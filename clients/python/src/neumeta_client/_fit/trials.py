"""Members of one model, pulled and measured on this device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from neumeta_client._artifact import Artifact
from neumeta_client._fit.device import describe_device
from neumeta_client._fit.latency import Latency
from neumeta_client._fit.meter import Measure, Meter
from neumeta_client._fit.report import Measurement
from neumeta_client._flows import Flow, Flows
from neumeta_client._protocol import Selection, Version
from neumeta_client._types import Model


@dataclass(frozen=True)
class Trial:
    """One member, as it was asked for, and its latency."""

    selection: Selection
    artifact: Artifact
    latency: Latency

    def measurement(self) -> Measurement:
        """Its figures, without the file."""
        manifest = self.artifact.manifest
        cost, quality = manifest.cost, manifest.quality.value
        return Measurement(manifest.compression.effective, cost.params, cost.macs, manifest.size, quality, self.latency)


class Trials:
    """Tries members; all are of the version that the first one had, and no artifact is measured twice.

    Without ``measure`` it is onnxruntime with so many ``threads`` that measures; see ``Meter`` and ``describe_device`` for errors.
    """

    def __init__(
        self,
        flows: Flows,
        name: str,
        precision: str,
        version: Version,
        *,
        threads: int | None = None,
        measure: Measure | None = None,
        with_memory: bool = False,
    ) -> None:
        self._flows, self.name = flows, name
        self.precision, self.version = precision, version
        self.device = describe_device(threads)
        self._measure = measure or Meter(self.device.threads, with_memory)
        self._latencies: dict[str, Latency] = {}

    def model(self) -> Flow[Model]:
        """What sizes there are."""
        return self._flows.model(self.name, self.version)

    def run(self, *, compression: float | None = None, budget: Mapping[str, int] | None = None) -> Flow[Trial]:
        """Pull and measure the member that is asked for by exactly one of the two."""
        return self._run(Selection(compression, None, budget, None, self.precision, self.version))

    def again(self, trial: Trial) -> Flow[Trial]:
        """The same with its file in the cache, where what was pulled since may have taken its place."""
        if self._flows.cache.find(trial.artifact.manifest) is not None:
            return trial
        return (yield from self._run(replace(trial.selection, version=self.version)))

    def _run(self, selection: Selection) -> Flow[Trial]:
        artifact = yield from self._flows.pull(self.name, selection)
        # An alias may move meanwhile. Only what was pulled, and with a trust root verified, says which version it meant.
        self.version = artifact.manifest.version
        if artifact.digest not in self._latencies:
            self._latencies[artifact.digest] = self._measure(artifact)
        return Trial(selection, artifact, self._latencies[artifact.digest])
