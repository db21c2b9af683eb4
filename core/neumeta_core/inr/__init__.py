"""INR kinds: hypernetworks from widths to weights."""

from __future__ import annotations

from neumeta_core.architecture import Architecture
from neumeta_core.inr.anchored import AnchoredINR
from neumeta_core.inr.base import INR, Blur, Noise
from neumeta_core.inr.factorised import FactorisedINR
from neumeta_core.inr.mlp import MlpINR
from neumeta_core.inr.settings import AnchoredSettings, FactorisedSettings, InrSettings, MlpSettings, Sampling

__all__ = [
    "INR",
    "AnchoredINR",
    "AnchoredSettings",
    "Blur",
    "FactorisedINR",
    "FactorisedSettings",
    "InrSettings",
    "MlpINR",
    "MlpSettings",
    "Noise",
    "Sampling",
    "build_inr",
]


def build_inr(architecture: Architecture, settings: InrSettings) -> INR:
    """An untrained INR of the kind that the settings name."""
    if isinstance(settings, MlpSettings):
        return MlpINR(architecture, settings)
    if isinstance(settings, FactorisedSettings):
        return FactorisedINR(architecture, settings)
    return AnchoredINR(architecture, settings)
