"""What a manifold file says about its INR: the kind, its sizes and how it is sampled."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from neumeta_core.levels import Levels
from neumeta_core.record import Record


class MlpSettings(Record):
    """The paper's kind: one residual coordinate MLP for every block."""

    kind: Literal["mlp"] = "mlp"
    layers: int = Field(default=5, ge=1, le=1000)
    """Layers with a ReLU: the input layer and ``layers - 1`` residual ones."""
    hidden: int = Field(default=256, ge=1, le=2**16)
    positions: Literal["relative", "absolute"] = "absolute"
    """Channel ``k`` at ``k / width`` (narrow networks are stretched) or at ``k / full`` (they are prefixes)."""


class AnchoredSettings(Record):
    """Shared weights, modulated and corrected by small INRs of one channel index and the sizes."""

    kind: Literal["anchored"] = "anchored"
    hidden: int = Field(default=32, ge=1, le=2**16)
    rank: int = Field(default=4, ge=1, le=2**16)
    """Rank of the additive correction of every block."""
    levels: Levels = ()
    """Width ratios at which smaller members have an anchor of their own beside the full one."""
    moments: bool = False
    """Layers with a bias know the moments of their inputs, and keep the mean and spread of their outputs at all widths."""
    exact: bool = False
    """The full network and the members of ``levels`` are what their anchors say: these are not trained, and the networks add nothing there."""
    scales: int = Field(default=0, ge=0, le=2**16)
    """Hidden units of a network of the sizes alone that scales every row of the weights whose bias has moments to go by; 0: there is none."""

    @model_validator(mode="after")
    def _scaled_rows_keep_their_mean(self) -> AnchoredSettings:
        if self.scales and not self.moments:
            raise ValueError("scales need moments, which say what a scaled row does to the mean of outputs: expected moments=true before scales.")
        return self


class FactorisedSettings(Record):
    """Products of coordinate networks of one channel index each."""

    kind: Literal["factorised"] = "factorised"
    hidden: int = Field(default=64, ge=1, le=2**16)
    """Largest number of hidden units; blocks of few channels have fewer."""
    rank: int = Field(default=64, ge=1, le=2**16)
    """Largest rank of a block; where the block's own is smaller, that."""


InrSettings = Annotated[MlpSettings | AnchoredSettings | FactorisedSettings, Field(discriminator="kind")]


class Sampling(Record):
    """How weights are averaged over noisy coordinates (paper eq. 9)."""

    count: int = Field(default=1, ge=1, le=1000)
    """K, 100 in the paper; the first sample has no noise. Each is a pass in every build, and no file may ask for hours of them."""
    noise: float = Field(default=0.0, ge=0)
    """Half-width of the uniform noise on channel positions, in channels."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    integrated: bool = False
    """The mean over the noise in closed form at the encoding, in one pass instead of K."""

    @property
    def is_averaged(self) -> bool:
        """True when several passes are made."""
        return self.count > 1 and self.noise > 0

    @model_validator(mode="after")
    def _one_way_of_averaging(self) -> Sampling:
        if self.integrated and self.count > 1:
            raise ValueError("sampling is integrated in one pass or averaged over several (count), not both.")
        return self
