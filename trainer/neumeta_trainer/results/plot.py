"""The curve as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from neumeta_core.curve import Curve


def plot_curve(
    path: Path, title: str, curve: Curve, held_out: tuple[tuple[float, float], ...] = (), alone: Mapping[float, float] | None = None
) -> None:
    """Write a PNG: quality in percent against compression; held-out ratios are shaded, networks trained alone are crosses."""
    figure = Figure(figsize=(7.5, 4.5), layout="constrained")
    axes = figure.add_subplot()
    points = sorted(curve.points, key=lambda point: point.compression)
    axes.plot([100 * p.compression for p in points], [100 * p.quality for p in points], marker="o", markersize=4, label="one manifold")
    for index, (low, high) in enumerate(held_out):
        axes.axvspan(100 * (1 - high), 100 * (1 - low), color="0.9", label="widths never trained" if index == 0 else None)
    if alone:
        axes.plot([100 * c for c in alone], [100 * quality for quality in alone.values()], "x", color="tab:red", label="trained alone")
    axes.set(title=title, xlabel="compression (% of the channels removed)", ylabel=f"{curve.metric} (%), {curve.samples:,} {curve.split} images")
    axes.grid(alpha=0.3)
    axes.legend()
    FigureCanvasAgg(figure)
    figure.savefig(path)
