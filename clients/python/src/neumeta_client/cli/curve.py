"""``neumeta-client curve``."""

# No postponed annotations here: on Python 3.9 typer does not find its options in them.

from collections.abc import Sequence
from dataclasses import asdict

from neumeta_client._client import Client
from neumeta_client._protocol import one_line
from neumeta_client._types import CurvePoint
from neumeta_client.cli.failures import reported
from neumeta_client.cli.options import AsJson, Name, Url
from neumeta_client.cli.output import print_json, print_table


def curve(name: Name, url: Url = None, as_json: AsJson = False) -> None:
    """Show what each size of a model costs and how good it is.

    Pick a line, and pull that compression; sizes between the lines can be had as well.

    \b
    neumeta-client curve lenet-mnist
    neumeta-client curve lenet-mnist --json
    """
    with reported(), Client(url) as client:
        found = client.curve(name)
        if as_json:
            print_json(asdict(found))
        else:
            metric, precisions = one_line(found.metric or "quality"), sorted({name for point in found.points for name in point.quality_in})
            headings = ["compression", "parameters", "MACs", metric, *(f"{metric} in {one_line(name)}" for name in precisions), "trained"]
            rows = [_point_row(point, precisions) for point in found.points]
            print_table(headings, rows, numeric=range(len(headings) - 1))


def _point_row(point: CurvePoint, precisions: Sequence[str]) -> tuple[str, ...]:
    trained = "held out" if point.held_out else "yes"
    others = (f"{point.quality_in[name]:.4f}" if name in point.quality_in else "" for name in precisions)
    return (f"{point.compression:.3f}", f"{point.params:,}", f"{point.macs:,}", f"{point.quality:.4f}", *others, trained)
