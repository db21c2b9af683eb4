"""What a run reports beside its file: results as JSON and the curve as a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from neumeta_core.files import write_whole
from neumeta_core.manifold import Manifold
from pydantic import TypeAdapter

from neumeta_trainer.results.plot import plot_curve
from neumeta_trainer.results.record import Measurement


@dataclass(frozen=True)
class Result:
    """What a run gives beside the file."""

    manifold: Manifold
    slices: dict[float, float]
    """Quality of the family's slices with calibrated normalization, by compression: the same weights without an INR."""
    notes: tuple[str, ...]
    """What of the network stays as it is, and why."""
    unequal: tuple[Measurement, ...] = ()
    """Random configurations with a width of its own for every group."""
    unequal_slices: tuple[float, ...] = ()
    """Quality of the family's slices at the same configurations, with normalization calibrated for each."""
    beyond: tuple[Measurement, ...] = ()
    """Outside the trained range of widths, where the INR's kind has weights at all."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Wall time of every stage."""
    machine: str = ""
    """What trained it, in words."""


def write_report(result: Result, out: Path) -> None:
    """Write ``report.json`` and ``curve.png`` into ``out``."""
    manifold = result.manifold
    curve = manifold.header.curve
    assert curve is not None
    report = {
        "file": file_facts(manifold),
        "curve": curve.model_dump(mode="json"),
        "slices": result.slices,
        "unequal": _unequal(result),
        "notes": result.notes,
        "training": manifold.header.training,
    }
    write_whole(out / "report.json", json.dumps(report, indent=1) + "\n")
    plot_curve(out / "curve.png", f"{manifold.header.name} {manifold.header.version}", curve, held_out_ratios(manifold))


def _unequal(result: Result) -> dict[str, float]:
    """Quality at random widths of their own for all groups, by what it is of: a count of members, and means over them; empty without any."""
    found = [member.quality for member in result.unequal]
    if not found:
        return {}
    return {"members": len(found), "mean": fmean(found), "lowest": min(found), "mean_of_slices": fmean(result.unequal_slices)}


def file_facts(manifold: Manifold) -> dict[str, object]:
    """Sizes of a manifold: its file, what it stores, the share that coordinate networks have of it, the network it replaces."""
    stored = sum(tensor.numel() for tensor in manifold.inr.state_dict().values())
    full = manifold.cost(manifold.configure(compression=0.0))
    return {
        "digest": manifold.digest,
        "bytes": manifold.size,
        "kind": manifold.header.inr.kind,
        "stored_values": stored,
        "coordinate_network_values": manifold.inr.coordinate_parameters(),
        "coordinate_network_share": round(manifold.inr.coordinate_parameters() / stored, 4),
        "full_network_params": full.params,
        "full_network_fp32_bytes": 4 * full.params,
        "bytes_over_full_network": round(manifold.size / (4 * full.params), 4),
    }


def held_out_ratios(manifold: Manifold) -> tuple[tuple[float, float], ...]:
    """The closed intervals of width ratios that training never saw, as the file records them."""
    recorded = manifold.header.training.get("held_out_ratios", [])
    return TypeAdapter(tuple[tuple[float, float], ...]).validate_python(recorded)
