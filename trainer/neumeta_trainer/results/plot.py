"""Qualities as pictures: the curve of one manifold, and all methods beside each other."""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter
from neumeta_core.curve import Curve
from neumeta_core.files import whole

from neumeta_trainer.results.record import Measurement
from neumeta_trainer.results.selection import Methods, by_compression, by_recipe, qualities
from neumeta_trainer.results.spread import PERCENT, quality_title


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
    _write(figure, path)


@dataclass(frozen=True)
class MethodsPlot:
    """Quality of several methods: by compression, with held-out sizes shaded, and by multiply-adds."""

    title: str
    methods: Methods

    @property
    def digest(self) -> str:
        """Of the numbers that are drawn; kept in the file, so that a picture tells which numbers it shows."""
        drawn = [(method, [(record.metric, record.samples, record.measurements) for record in found]) for method, found in self.methods.items()]
        return hashlib.sha256(repr((self.title, drawn)).encode()).hexdigest()

    def is_drawn_in(self, path: Path) -> bool:
        """Whether a PNG shows these numbers, all of it."""
        found = path.read_bytes() if path.is_file() else b""
        return self.digest.encode() in found and found.endswith(_PNG_END)

    def draw(self, path: Path) -> None:
        """Write the PNG."""
        figure = Figure(figsize=(12, 6), layout="constrained")
        by_size, by_work = figure.subplots(1, 2)
        first = next(iter(self.methods.values()))[0]
        scale = 100 if first.metric in PERCENT else 1
        for index, (method, records) in enumerate(self.methods.items()):
            style = {"color": f"C{index % 10}", "marker": _MARKERS[index % len(_MARKERS)], "linestyle": _LINES[index // 10 % len(_LINES)]}
            _draw_method((by_size, by_work), method, by_compression(records), scale, style)
        _shade(by_size, by_compression(by_recipe(record for records in self.methods.values() for record in records)))
        title = quality_title(first.metric).replace(",", " in")
        by_size.set(xlabel="compression (% of the channels removed)", ylabel=f"{title}, {first.samples:,} {first.split} images")
        by_work.set(xlabel="multiply-adds of one image", xscale="log", ylabel=title)
        for axes in (by_size, by_work):
            axes.grid(alpha=0.3)
        by_work.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        by_work.xaxis.set_major_formatter(EngFormatter(sep=""))
        by_work.xaxis.set_minor_formatter(NullFormatter())
        by_work.set_ylim(*_upper_range([by_compression(records) for records in self.methods.values()], scale))
        figure.suptitle(f"{self.title} (right: upper part of the range)")
        figure.legend(*by_size.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize="small")
        _write(figure, path, dpi=110, metadata={"Software": None, "Comment": self.digest})


def _write(figure: Figure, path: Path, **how: Any) -> None:
    FigureCanvasAgg(figure)
    with whole(path) as part:
        figure.savefig(part, format="png", **how)


_PNG_END = b"IEND\xae\x42\x60\x82"
_MARKERS, _LINES = "osD^vP*X<>", ("-", "--", ":")
_ROOM = 0.1
"""Below and above the upper part of the range, as a share of it."""


def _draw_method(panels: tuple[Axes, Axes], method: str, sizes: dict[float, list[Measurement]], scale: float, style: dict[str, Any]) -> None:
    """Mean over seeds with a bar from the lowest to the highest; markers of extrapolated sizes are hollow."""
    compressions = [100 * compression for compression in sizes]
    macs = [statistics.fmean(m.macs for m in measured) for measured in sizes.values()]
    means = [scale * qualities(measured).mean for measured in sizes.values()]
    low = [mean - scale * min(m.quality for m in measured) for mean, measured in zip(means, sizes.values(), strict=True)]
    high = [scale * max(m.quality for m in measured) - mean for mean, measured in zip(means, sizes.values(), strict=True)]
    beyond = [index for index, measured in enumerate(sizes.values()) if measured[0].widths == "extrapolated"]
    for axes, places in zip(panels, (compressions, macs), strict=True):
        # Rounding may put a mean past its own extremes by a hair, which errorbar refuses.
        bars = np.maximum([low, high], 0)
        axes.errorbar(places, means, bars, label=method, markersize=5, linewidth=1.3, capsize=2, **style)
        hollow = style | {"linestyle": "none", "markerfacecolor": "white", "zorder": 3}
        axes.plot([places[index] for index in beyond], [means[index] for index in beyond], markersize=6, **hollow)


def _shade(axes: Axes, sizes: dict[float, list[Measurement]]) -> None:
    """Grey around every held-out compression, half way to its neighbours."""
    compressions = list(sizes)
    edges = [(left + right) / 2 for left, right in pairwise(compressions)]
    label: str | None = "widths that no manifold was trained at"
    for index, measured in enumerate(sizes.values()):
        if any(measurement.widths == "held_out" for measurement in measured):
            left = edges[index - 1] if index else compressions[0]
            right = edges[index] if index < len(edges) else compressions[-1]
            axes.axvspan(100 * left, 100 * right, color="0.9", linewidth=0, label=label)
            label = None


def _upper_range(methods: Sequence[dict[float, list[Measurement]]], scale: float) -> tuple[float, float]:
    """From the lowest point of the median method to the best of all, so that methods that collapse do not flatten the others."""
    trained = [[qualities(m).mean for m in sizes.values() if m[0].widths != "extrapolated"] for sizes in methods]
    means = [found for found in trained if found] or [[0.0, 1.0]]
    floor, best = statistics.median_low(map(min, means)), max(map(max, means))
    room = _ROOM * (best - floor) or 0.01
    return scale * (floor - room), scale * (best + room)
