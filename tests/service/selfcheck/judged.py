"""Tiny manifolds whose canaries can be judged: random inputs, labelled by their own full network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from neumeta_core.manifold import Canary, Manifold
from torch import Tensor

from tests.tiny import SIDE, forward, tiny_manifold

SEED = 1
COUNT = 64
SHARED = 0.5
"""The compression that is neither the full nor the smallest member; its network agrees with the full one on a third of the canaries."""


def judged_manifold(*, claims: Mapping[float, float] | None = None, shift: int = 0, **header: Any) -> Manifold:
    """A manifold whose curve is true of its canaries, but for ``claims`` (compression -> quality); ``shift`` makes all labels wrong."""
    manifold = tiny_manifold(seed=SEED)
    raw = torch.randint(0, 256, (COUNT, 1, SIDE, SIDE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = answers(manifold, 0.0, raw)
    curve = manifold.header.curve
    assert curve is not None
    quality = {point.compression: (answers(manifold, point.compression, raw) == labels).float().mean().item() for point in curve.points}
    quality |= claims or {}
    points = tuple(point.model_copy(update={"quality": quality[point.compression]}) for point in curve.points)
    changed = {"curve": curve.model_copy(update={"points": points, "samples": 10_000})} | header
    return Manifold(manifold.header.model_copy(update=changed), manifold.inr, manifold.template, Canary(raw, (labels + shift) % 3))


def answers(manifold: Manifold, compression: float, raw: Tensor) -> Tensor:
    """The classes that torch computes for raw inputs ``[n, 1, SIDE, SIDE]``."""
    return forward(manifold.materialize(manifold.configure(compression)), (raw / 255 - 0.5) / 0.25).argmax(dim=1)


def save(manifold: Manifold, models: Path, *, half: bool = True) -> Path:
    """Where the catalog looks for it."""
    path = models / manifold.header.name / str(manifold.header.version) / "manifold.safetensors"
    manifold.save(path, half=half)
    return path


def diverging() -> Manifold:
    """Finite weights of which every network computes infinities."""
    manifold, generator = tiny_manifold(), torch.Generator().manual_seed(0)
    parameters, full = manifold.architecture.parameters, manifold.architecture.full_widths
    manifold.inr.start_from({parameter.name: 1e14 * torch.randn(parameter.shape(full), generator=generator) for parameter in parameters})
    return manifold
