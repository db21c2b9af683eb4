"""Hand-made records: two methods, two seeds, held-out and extrapolated sizes, and configurations that are not uniform."""

from __future__ import annotations

from typing import Any

from neumeta_trainer.results.record import MatrixRecord, Measurement, RunRecord

SIZES: tuple[tuple[float | None, int, int, str], ...] = (
    (-0.25, 1500, 9000, "extrapolated"),
    (0.0, 1000, 6000, "trained"),
    (0.25, 700, 4000, "held_out"),
    (0.5, 400, 2000, "trained"),
    (None, 650, 3900, "trained"),
    (None, 800, 5000, "trained"),
)


def run(method: str, seed: int, qualities: tuple[float | None, ...], **changes: Any) -> RunRecord:
    """A record with these qualities at ``SIZES``; None leaves a size out."""
    measurements = tuple(
        Measurement.model_validate({"compression": compression, "params": params, "macs": macs, "quality": quality, "widths": widths})
        for (compression, params, macs, widths), quality in zip(SIZES, qualities, strict=False)
        if quality is not None
    )
    values = {
        "recipe": "toy",
        "tier": "trial",
        "method": method,
        "seed": seed,
        "split": "validation",
        "samples": 5000,
        "measurements": measurements,
        "machine": "a machine",
        "command": f"neumeta train toy --set seed={seed}",
    }
    return RunRecord.model_validate(values | changes)


FILE = {"bytes": 294090.0, "bytes_over_full_network": 0.7, "coordinate_network_share": 0.2093}
MANIFOLD = [
    run("anchored", 0, (0.5, 0.9, 0.88, 0.8, 0.85, 0.7), training={"family": 2730, "tune": 390}, trained_macs=15 * 10**12, seconds=90, file=FILE),
    run("anchored", 1, (0.6, 0.92, 0.88, 0.81, 0.86, 0.72), training={"family": 2730, "tune": 390}, trained_macs=15 * 10**12, seconds=110, file=FILE),
]
ALONE = [run("alone", 0, (None, 0.91, None, 0.83), training={"0": 100, "0.5": 250}, seconds=60)]
SLICES = [run("slices", 0, (None, 0.9, 0.7, 0.75, 0.9, 0.71)), run("slices", 1, (None, None, 0.71, 0.76, 0.85, 0.7))]
OTHER_TIER = [run("anchored", 0, (0.1, 0.1, 0.1, 0.1), tier="long"), run("anchored", 0, (0.2, 0.2, 0.2, 0.2), split="test")]
ALL = [*MANIFOLD, *ALONE, *SLICES, *OTHER_TIER]


def matrix(**changes: Any) -> MatrixRecord:
    values = {
        "kind": "matrix",
        "analysis": "kl",
        "subject": "manifold",
        "recipe": "toy",
        "tier": "trial",
        "seed": 0,
        "split": "validation",
        "samples": 1000,
        "rows": ("0", "0.5"),
        "columns": ("0", "0.5"),
        "values": ((0.0, 0.25), (0.75, None)),
        "note": "Divergence.",
        "machine": "a machine",
        "command": "neumeta analyse similarity toy",
    }
    return MatrixRecord.model_validate(values | changes)
