"""What a manifold file says about its INR: the kind, its sizes and how it is sampled."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from neumeta_core.architecture import Record


class MlpSettings(Record):
    """The paper's kind: one residual coordinate MLP for every block."""

    kind: Literal["mlp"] = "mlp"
    layers: PositiveInt = 5
    """Layers with a ReLU: the input layer and ``layers - 1`` residual ones."""
    hidden: PositiveInt = 256
    positions: Literal["relative", "absolute"] = "absolute"
    """Channel ``k`` at ``k / width`` (narrow networks are stretched) or at ``k / full`` (they are prefixes)."""


class AnchoredSettings(Record):
    """Shared weights, modulated and corrected by small INRs of one channel index and the sizes."""

    kind: Literal["anchored"] = "anchored"
    hidden: PositiveInt = 32
    rank: PositiveInt = 4
    """Rank of the additive correction of every block."""


InrSettings = Annotated[MlpSettings | AnchoredSettings, Field(discriminator="kind")]


class Sampling(Record):
    """How weights are averaged over noisy coordinates (paper eq. 9)."""

    count: PositiveInt = 1
    """K; the first sample has no noise."""
    noise: float = Field(default=0.0, ge=0)
    """Half-width of the uniform noise on channel positions, in channels."""
    seed: int = 0
