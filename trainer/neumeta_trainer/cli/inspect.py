"""``neumeta inspect``: what a manifold file holds."""

from __future__ import annotations

from pathlib import Path

from neumeta_core.manifold import Manifold
from rich.markup import escape
from rich.table import Table

from neumeta_trainer.cli.options import expected_errors, out_console, say
from neumeta_trainer.origin import command_of
from neumeta_trainer.results.report import file_facts


def inspect(file: Path) -> None:
    """Check a manifold file and show what it holds."""
    with expected_errors(None):
        show(Manifold.load(file))


def show(manifold: Manifold) -> None:
    """Print what a manifold holds and its curve."""
    header, facts = manifold.header, file_facts(manifold)
    data = escape(str(header.training.get("data")))
    out_console.print(f"[bold]{header.name} {header.version}[/bold]: {header.task}, INR kind {header.inr.kind}, data {data}")
    out_console.print(
        f"{facts['bytes']:,} bytes = {facts['bytes_over_full_network']} of the full network in fp32; "
        f"{facts['coordinate_network_share']:.1%} of the stored values are coordinate networks"
    )
    for group in header.architecture.groups:
        say(f"  {group.name}: {group.minimum} to {group.full} channels")
    if command := command_of(manifold):
        say(f"Its recipe is followed again by: {command}")
    if header.curve is None:
        return
    title = f"{header.curve.samples:,} {header.curve.split} images; * widths never trained"
    precisions = list(dict.fromkeys(name for point in header.curve.points for name in point.quality_in))
    table = Table("compression", "parameters", "MACs", header.curve.metric, *precisions, title=title)
    for point in header.curve.points:
        mark = " *" if point.held_out else ""
        others = (f"{100 * point.quality_in[name]:.2f} %" if name in point.quality_in else "" for name in precisions)
        table.add_row(f"{point.compression:.2f}{mark}", f"{point.params:,}", f"{point.macs:,}", f"{100 * point.quality:.2f} %", *others)
    out_console.print(table)
