"""What autofit finds on this device, against the measurement of far more sizes than it tries.

    python benchmarks/autofit.py [--runs N] [--threads N] [--metric p50|p95] [--json FILE]

The shipped LeNet, from a service process, in onnxruntime. Compressions in 64 equal steps and those that autofit knows are measured in N
rounds, and the median of the rounds is a network's latency. Limits are a quarter, half and three quarters of the way from the smallest
network's latency to the full one's. Each is given to autofit twice: with those latencies in place of measurements, which tells what the
search does, and as a device uses it, measuring anew.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from neumeta_client import Artifact, Client, Fit, Latency, Meter
from neumeta_client._fit.search import compressions_of
from report import Report, Row, arguments
from servers import service

MODEL = "lenet-mnist"
EQUAL_STEPS = 64
SHARES = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Sizes:
    """Different networks, the largest first, and what was measured of each."""

    artifacts: Sequence[Artifact]
    latencies: dict[str, Latency]
    """By digest."""
    metric: str
    step: float
    """Compression between two sizes that autofit knows."""

    def latency(self, artifact: Artifact) -> Latency:
        return self.latencies[artifact.digest]

    def milliseconds(self, artifact: Artifact) -> float:
        return self.latency(artifact).of(self.metric)

    def best(self, limit: float) -> Artifact:
        """The largest network within a limit."""
        return next(artifact for artifact in self.artifacts if self.milliseconds(artifact) <= limit)


def main() -> None:
    parser = arguments(__doc__, runs=5)
    parser.add_argument("--threads", type=int, default=1, help="threads of a call (1)")
    parser.add_argument("--metric", choices=("p50", "p95"), default="p50", help="which latency counts (p50)")
    options = parser.parse_args()
    report = Report()
    meter = Meter(options.threads)
    with service() as running, tempfile.TemporaryDirectory() as cache, Client(running.url, cache=Path(cache)) as client:
        sizes = measure(client, meter, options.runs, options.metric)
        ways: dict[str, Callable[[Artifact], Latency]] = {"of all sizes": sizes.latency, "measured anew": meter}
        fit = partial(client.autofit, MODEL, metric=options.metric, threads=options.threads)
        found = [(limit, way, fit(latency_ms=limit, measure=measured)) for limit in limits(sizes) for way, measured in ways.items()]
    report.add(f"{options.metric} of single calls", [size_row(sizes, artifact) for artifact in sizes.artifacts])
    report.add("What autofit finds", [fit_row(sizes, *each) for each in found], "Bar: at most 1 step.")
    report.save(options.json)


def measure(client: Client, meter: Meter, runs: int, metric: str) -> Sizes:
    """All sizes in turn, round after round, so that what else happens meanwhile falls on all of them."""
    model = client.model(MODEL)
    known = compressions_of(model.groups, model.max_compression)
    compressions = sorted({*known, *(model.max_compression * step / EQUAL_STEPS for step in range(EQUAL_STEPS + 1))})
    artifacts = {artifact.digest: artifact for artifact in (client.pull(MODEL, compression=compression) for compression in compressions)}
    rounds = [{digest: meter(artifact) for digest, artifact in artifacts.items()} for _ in range(runs)]
    latencies = {digest: median([found[digest] for found in rounds]) for digest in artifacts}
    return Sizes(list(artifacts.values()), latencies, metric, known[1])


def median(found: Sequence[Latency]) -> Latency:
    p50, p95 = (statistics.median(latency.of(metric) for latency in found) for metric in ("p50", "p95"))
    return Latency(p50, p95, sum(latency.runs for latency in found))


def limits(sizes: Sizes) -> list[float]:
    full, smallest = (sizes.milliseconds(artifact) for artifact in (sizes.artifacts[0], sizes.artifacts[-1]))
    return [smallest + share * (full - smallest) for share in SHARES]


def size_row(sizes: Sizes, artifact: Artifact) -> Row:
    manifest = artifact.manifest
    widths = " ".join(str(width) for width in manifest.spec.widths.values())
    return {"compression": manifest.compression.effective, "widths": widths, "MACs": manifest.cost.macs, "ms": sizes.milliseconds(artifact)}


def fit_row(sizes: Sizes, limit: float, latencies: str, fit: Fit) -> Row:
    best, found = (artifact.manifest.compression.effective for artifact in (sizes.best(limit), fit.artifact))
    return {
        "ms limit": limit,
        "latencies": latencies,
        "largest in time": best,
        "found": found,
        "steps apart": abs(found - best) / sizes.step,
        "ms found": fit.latency_ms,
        "networks measured": len(fit.report.candidates),
        "of": len(sizes.artifacts),
    }


if __name__ == "__main__":
    main()
