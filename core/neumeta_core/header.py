"""The header of a manifold file: everything in it that is not a tensor."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, JsonValue, PositiveFloat, model_validator

from neumeta_core.architecture import Architecture
from neumeta_core.curve import Curve
from neumeta_core.inr import InrSettings, Sampling
from neumeta_core.record import Count, Record, Version

FORMAT_VERSION = 1
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"


class InputSpec(Record):
    """One input sample: ``(raw * scale - mean) / std``, in the named layout with a leading batch axis."""

    name: str = "input"
    shape: tuple[Count, ...]
    layout: str = "NCHW"
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[PositiveFloat, ...] = (1.0,)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.layout) != 1 + len(self.shape):
            raise ValueError(f"layout {self.layout!r} names {len(self.layout)} axes, and shape with the batch has {1 + len(self.shape)}")
        channels = dict(zip(self.layout[1:], self.shape, strict=True)).get("C", 1)
        if not {len(self.mean), len(self.std)} <= {1, channels}:
            raise ValueError(f"mean and std have {len(self.mean)} and {len(self.std)} values; expected one, or one for each of {channels} channels")
        return self


class OutputSpec(Record):
    """The network's output."""

    name: str = "logits"


class Header(Record):
    """Everything in a manifold file that is not a tensor."""

    format_version: Literal[1] = 1
    name: str = Field(pattern=NAME_PATTERN)
    version: Version
    task: str
    labels: tuple[str, ...] = ()
    input: InputSpec
    output: OutputSpec = OutputSpec()
    architecture: Architecture
    inr: InrSettings
    sampling: Sampling = Sampling()
    curve: Curve | None = None
    training: dict[str, JsonValue] = Field(default_factory=dict)
    """Provenance: data set, recipe, seeds, held-out ratios, library versions."""
