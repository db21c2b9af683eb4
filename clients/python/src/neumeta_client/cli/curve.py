"""``neumeta-client curve``."""

# No postponed annotations here: on Python 3.9 typer does not find its options in them.

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Optional

import typer
from rich.console import RenderableType

from neumeta_client._client import Client
from neumeta_client._protocol import one_line
from neumeta_client._types import CurvePoint
from neumeta_client.cli.drawing import draw_curve
from neumeta_client.cli.failures import reported
from neumeta_client.cli.gauge import Gauge
from neumeta_client.cli.options import AsJson, ModelVersion, Name, Url
from neumeta_client.cli.output import print_json, print_table


def curve(
    name: Name,
    png: Annotated[Optional[Path], typer.Option(metavar="FILE", help="Draw it into this PNG file; needs the extra plot.")] = None,
    model_version: ModelVersion = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show what each size of a model costs and how good it is.

    Pick a line, and pull that compression; sizes between the lines can be had as well. The bars begin a little below the worst size.

    \b
    neumeta-client curve lenet-mnist
    neumeta-client curve lenet-mnist --png curve.png
    neumeta-client curve lenet-mnist --json
    """
    with reported(), Client(url) as client:
        found = client.curve(name, version=model_version)
        if png is not None:
            draw_curve(found, png)
        if as_json:
            print_json(asdict(found))
        else:
            metric, precisions = one_line(found.metric or "quality"), sorted({name for point in found.points for name in point.quality_in})
            headings = ["compression", "parameters", "MACs", metric, *(f"{metric} in {one_line(name)}" for name in precisions), "trained"]
            worst, best = _range(found.points)
            rows: list[tuple[RenderableType, ...]] = [
                (*_point_row(point, precisions), Gauge((point.quality - worst) / (best - worst), 15)) for point in found.points
            ]
            print_table([*headings, f"{metric}, {worst:.3f} to {best:.3f}"], rows, numeric=range(len(headings) - 1))


def _range(points: Sequence[CurvePoint]) -> tuple[float, float]:
    """From where to where bars go: a tenth more than there is below, so that the worst size has one."""
    qualities = [point.quality for point in points] or [0.0]
    spread = max(qualities) - min(qualities) or 1.0
    return min(qualities) - spread / 10, max(qualities)


def _point_row(point: CurvePoint, precisions: Sequence[str]) -> tuple[str, ...]:
    trained = "held out" if point.held_out else "yes"
    others = (f"{point.quality_in[name]:.4f}" if name in point.quality_in else "" for name in precisions)
    return (f"{point.compression:.3f}", f"{point.params:,}", f"{point.macs:,}", f"{point.quality:.4f}", *others, trained)
