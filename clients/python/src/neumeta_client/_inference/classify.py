"""A network's scores as labels with probabilities."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from neumeta_client._types import Manifest


@dataclass(frozen=True)
class Label:
    """A class, and the network's probability for it."""

    name: str
    probability: float


@dataclass(frozen=True)
class Classification:
    """The likeliest classes, best first, and how long the network took."""

    labels: tuple[Label, ...]
    milliseconds: float


def classify(session: Any, manifest: Manifest, pixels: ArrayLike, *, top: int = 3) -> Classification:
    """What an onnxruntime session (or a MorphingSession) of this network says of one picture."""
    import numpy as np

    inputs = {manifest.input.name: manifest.input.prepare(pixels)}
    begun = time.perf_counter()
    (logits,) = session.run([manifest.output.name], inputs)
    milliseconds = 1000 * (time.perf_counter() - begun)
    scores = np.exp(logits[0].astype(np.float64) - logits[0].max())
    scores /= scores.sum()
    best = np.argsort(-scores, kind="stable")[:top]
    return Classification(tuple(Label(_name(manifest, int(index)), float(scores[index])) for index in best), milliseconds)


def _name(manifest: Manifest, index: int) -> str:
    return manifest.labels[index] if index < len(manifest.labels) else str(index)
