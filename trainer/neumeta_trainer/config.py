"""What a training run is: a recipe, as plain values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Literal

from neumeta_core.inr import InrSettings, Sampling
from neumeta_core.levels import Levels
from pydantic import AfterValidator, Field
from torch import nn

Order = Literal["smooth", "importance", "none"]


def each_once(compressions: tuple[float, ...]) -> tuple[float, ...]:
    """These, or ValueError where one of them is repeated."""
    for compression in compressions:
        if compressions.count(compression) > 1:
            raise ValueError(f"{compression:g} is there more than once; expected every compression once")
    return compressions


def _from_low_to_high(interval: tuple[float, float]) -> tuple[float, float]:
    low, high = interval
    if not 0 < low <= high:
        raise ValueError(f"{low:g} to {high:g} is no interval of width ratios; expected the lower one first, and both above 0")
    return interval


# Nothing checks them when a dataclass is made: ``overrides`` does for what is typed, ``checks`` for a whole recipe.
Count = Annotated[int, Field(ge=0)]
Size = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Between = Annotated[float, Field(gt=0, lt=1)]
"""A share that is neither nothing nor all."""
Interval = Annotated[tuple[float, float], AfterValidator(_from_low_to_high)]
Compressions = Annotated[tuple[Annotated[float, Field(ge=0, lt=1)], ...], Field(min_length=1), AfterValidator(each_once)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Optimization:
    """Gradient steps with linear warm-up and cosine decay to zero."""

    steps: Count
    rate: Positive
    """Largest learning rate."""
    optimizer: Literal["sgd", "adamw"] = "adamw"
    """``sgd`` has Nesterov momentum 0.9."""
    weight_decay: Weight = 0.0
    warmup: Share = 0.1
    """Share of the steps over which the rate rises."""
    clip: Positive | None = None
    """Largest norm of the gradient."""
    ema: Share | None = None
    """Decay of the average that is kept instead of the last values."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkStage:
    """Training of a network with its normalization: alone, or as a family of slices."""

    optimization: Optimization
    batch: Size = 128
    shift: Count = 0
    """Augmentation: images move by up to so many pixels."""
    flip: bool = False
    """Augmentation: half of the images are mirrored left to right."""
    members: Count = 0
    """Random members per step of a family, beside the full and the smallest one and those of the levels. A base is one network."""
    even: bool = False
    """Those with a width of its own for every group are as often narrow or wide on the whole as in the middle, where most would be."""
    temperature: Positive = 1.0
    """Of the distillation from the full network to the members."""
    levels: Levels = ()
    """Width ratios at which members of a family have weights of their own beside the shared ones."""
    upward: Share = 1.0
    """Share of a member's gradient that reaches the weights of the levels above its own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FitStage:
    """Warm start: the INR learns given weights of members, without data; or the scales of their rows alone, where it has a network for these."""

    optimization: Optimization
    members: Size = 4
    """Members per step; row scales learn all in every step."""
    targets: Count = 64
    """Random members that are calibrated as targets, beside those that every step trains; 0 leaves the full one alone. Row scales need some."""
    calibration: Size = 1024
    """Training images for the normalization statistics of members."""
    target_calibration: Size | None = None
    """Of these, as many as each target of row scales takes, in whole batches: what few images do not know of one target, the others do. None: all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TuneStage:
    """End-to-end training of the INR through the networks that it makes (paper eq. 10 and 11)."""

    optimization: Optimization
    batch: Size = 128
    shift: Count = 0
    flip: bool = False
    members: Count = 2
    """Random members per step."""
    sandwich: bool = True
    """Also the full and the smallest member, and those of the family's levels, in every step."""
    even: bool = False
    """As in ``NetworkStage``."""
    task: Weight = 1.0
    distillation: Weight = 0.0
    """Weight of the divergence from the trained full network."""
    temperature: Positive = 1.0
    reconstruction: Weight = 0.0
    """Weight of the error to the trained weights, whenever the full member is drawn."""
    regularization: Weight = 0.0
    noise: Weight = 0.0
    """Half-width of the uniform noise on channel positions, in channels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """Everything that decides a run's result, beside the data."""

    name: str
    """Name of the manifold."""
    study: str = ""
    """What the results are compared within: one network on one data set. Its name where it stands alone."""
    version: int = 1
    data: str
    """Name of a data set in ``neumeta_trainer.data``."""
    network: Callable[[], nn.Module]
    inr: InrSettings
    sampling: Sampling = field(default_factory=Sampling)
    order: Order = "none"
    """Channel order that the base network is put into before anything else is trained."""
    morph: tuple[str, ...] = ()
    """Channel groups that resize, by name; empty: all that can. Weights outside of them stay as trained (the paper's block protocol)."""
    max_compression: Between = 0.75
    granularity: Size = 1
    held_out: tuple[Interval, ...] = ()
    """Closed intervals of width ratios that no training step ever sees."""
    base: NetworkStage | None = None
    """Trains the network alone first; None starts the family from initialization."""
    family: NetworkStage | None = None
    """Trains slices with normalization; None takes slices of the base network as they are."""
    fit: FitStage
    tune: TuneStage | None = None
    curve: Compressions = tuple(round(0.05 * k, 2) for k in range(16))
    """Compressions at which quality is measured."""
    beyond: tuple[Positive, ...] = ()
    """Width ratios outside the trained range, above 1 or below the smallest, measured for the report and marked as extrapolated."""
    unequal: Count = 0
    """Random configurations with a width of its own for every group, measured beside the curve."""
    validation: Between = 1 / 12
    """Share of the training images that is set aside in runs that are not final."""
    tier: str = ""
    """How much training: a name for reports, which never mix tiers."""
    canaries: Size = 16
    """Real inputs stored for self-checks."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0

    @property
    def beside(self) -> str:
        """What names it among the recipes of its study: ``mlp``, ``paper``; empty for the one that the study is named after."""
        return self.name.removeprefix(self.study).strip("-") if self.study else ""
