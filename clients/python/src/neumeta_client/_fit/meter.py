"""What measures artifacts when the caller brings nothing else."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Callable

from neumeta_client._artifact import Artifact
from neumeta_client._errors import MeasurementFailed
from neumeta_client._fit.latency import Latency, time_calls
from neumeta_client._fit.memory import memory_growth
from neumeta_client._fit.runtime import require_onnxruntime, single_call
from neumeta_client._local.verified import read_verified
from neumeta_client._protocol import one_line

Measure = Callable[[Artifact], Latency]


@dataclass(frozen=True)
class Meter:
    """Measures single calls of an artifact in onnxruntime, and when ``with_memory`` what it needs of it, in a process of its own.

    Raises MissingExtra when onnxruntime is not installed, MeasurementFailed when it does not run the network, and what ``read_verified`` raises.
    """

    threads: int
    with_memory: bool = False

    def __post_init__(self) -> None:
        require_onnxruntime()

    def __call__(self, artifact: Artifact) -> Latency:
        """The latency of one artifact."""
        source, network = artifact.manifest.input, read_verified(artifact.path, artifact.digest)
        try:
            latency = time_calls(single_call(network, source.name, source.shape, self.threads))
        except Exception as error:  # The errors of onnxruntime have no root but this.
            reason = one_line(str(error)).rstrip(".")
            raise MeasurementFailed(f"{artifact.manifest.filename} does not run in onnxruntime on this device: {reason}.") from error
        return replace(latency, memory_bytes=memory_growth(artifact, self.threads)) if self.with_memory else latency
