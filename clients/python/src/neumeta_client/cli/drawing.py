"""A curve as a picture."""

from __future__ import annotations

from pathlib import Path

from neumeta_client._errors import CacheError, MissingExtra
from neumeta_client._types import Curve


def draw_curve(curve: Curve, path: Path) -> None:
    """Draw quality against parameters into a PNG file; sizes whose widths training never saw are hollow.

    Raises MissingExtra when matplotlib is not installed, CacheError when the disk refuses.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("matplotlib is not installed; --png needs it: pip install 'neumeta-client[plot]'.") from error
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    series = {"fp32": [(point.params, point.quality) for point in curve.points]}
    for name in sorted({name for point in curve.points for name in point.quality_in}):
        series[name] = [(point.params, point.quality_in[name]) for point in curve.points if name in point.quality_in]
    for name, points in series.items():
        axes.plot(*zip(*points), label=name, marker="." if name != "fp32" else None, linewidth=1)
    for label, held_out, fill in (("trained width", False, "tab:blue"), ("held-out width", True, "white")):
        chosen = [(point.params, point.quality) for point in curve.points if point.held_out is held_out]
        if chosen:
            axes.scatter(*zip(*chosen), label=label, facecolor=fill, edgecolor="tab:blue", zorder=3)
    axes.set(xscale="log", xlabel="parameters", ylabel=curve.metric or "quality", title=f"{curve.model} {curve.version}")
    axes.grid(visible=True, alpha=0.3)
    if curve.points:
        axes.legend()
    try:
        figure.savefig(path, format="png", dpi=150)
    except OSError as error:
        raise CacheError(f"{path} cannot be written: {error.strerror or error}.") from error
