"""What the commands that measure show of it while they do."""

from collections.abc import Sequence
from typing import Optional

import typer
from rich.console import RenderableType

from neumeta_client._artifact import Artifact
from neumeta_client._fit.device import Device, describe_device
from neumeta_client._fit.latency import Latency
from neumeta_client._fit.meter import Measure, Meter
from neumeta_client._fit.report import Measurement
from neumeta_client.cli.gauge import Gauge
from neumeta_client.cli.output import print_table

BAR_CELLS = 20


def announced(threads: Optional[int], *, with_memory: bool = False) -> Measure:
    """What measures, and writes a line on standard error for each network. Raises InvalidRequest or MissingExtra."""
    meter = Meter(describe_device(threads).threads, with_memory)

    def measure(artifact: Artifact) -> Latency:
        latency = meter(artifact)
        size = f"compression {artifact.manifest.compression.effective:.3f}, {artifact.manifest.cost.params:,} parameters"
        memory = "" if latency.memory_bytes is None else f", {latency.memory_bytes:,} bytes of memory"
        typer.echo(f"{size}: {latency.p50_ms:.3g} ms (p95 {latency.p95_ms:.3g}) in {latency.runs} runs{memory}", err=True)
        return latency

    return measure


def print_measurements(points: Sequence[Measurement], metric: str, *, marks: Sequence[str] = (), err: bool = False) -> None:
    """Print a line for each size, with a bar as long as its latency; ``marks`` are a last column."""
    longest = max(point.latency.of(metric) for point in points)
    headings = ["compression", "parameters", "bytes", "quality", "p50 ms", "p95 ms", metric, *(["fits"] if marks else [])]
    rows = [_row(point, point.latency.of(metric) / longest) for point in points]
    rows = [(*row, mark) for row, mark in zip(rows, marks)] if marks else rows
    print_table(headings, rows, numeric=range(6), err=err)


def device_line(device: Device) -> str:
    """A device in words."""
    return f"{device.processor}, {device.runtime}, threads: {device.threads}"


def _row(point: Measurement, share: float) -> tuple[RenderableType, ...]:
    quality = "" if point.quality is None else f"{point.quality:.4f}"
    sizes = (f"{point.compression:.3f}", f"{point.params:,}", f"{point.bytes:,}", quality)
    return (*sizes, f"{point.latency.p50_ms:.3f}", f"{point.latency.p95_ms:.3f}", Gauge(share, BAR_CELLS))
