"""A device profile: the latency of one model in one precision on one kind of device."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from neumeta_core.architecture import Architecture, ChannelGroup
from neumeta_core.configuration import Configuration, rounded
from pydantic import Field, PositiveInt, field_validator
from pydantic_core import PydanticCustomError

from neumeta_service.json_model import JsonModel, Precision

MAX_POINTS = 200


class Point(JsonModel):
    """The latency of one member."""

    compression: float = Field(ge=0, lt=1, allow_inf_nan=False)
    """The uniform compression that was asked for."""
    latency_ms: float = Field(gt=0, allow_inf_nan=False)


class Measured(JsonModel):
    """What a device measured, and how."""

    precision: Precision
    metric: Literal["p50", "p95"]
    """Which of many runs of one member counts: the median, or the one that 95 of 100 stay below."""
    runtime: str = Field(min_length=1, max_length=100)
    """What ran the networks, for example `onnxruntime 1.22`."""
    threads: Annotated[int, Field(ge=1, le=4096)]
    batch: PositiveInt = 1
    """Samples in one run."""
    points: list[Point] = Field(min_length=2, max_length=MAX_POINTS)
    """By strictly rising compression."""

    @field_validator("points")
    @classmethod
    def _check_order(cls, points: list[Point]) -> list[Point]:
        if any(later.compression <= earlier.compression for earlier, later in pairwise(points)):
            raise PydanticCustomError("not_rising", "points of strictly rising compression")
        return points


class Profile(Measured):
    """As it is stored: ``groups`` are those of the version that was measured, and with them what a compression came to."""

    version: PositiveInt
    groups: tuple[ChannelGroup, ...]

    def latencies(self, architecture: Architecture) -> dict[Configuration, float]:
        """Milliseconds of each member that was measured, the largest first: of several points of one member the highest.

        The architecture has the same channel groups.
        """
        latencies: dict[Configuration, float] = {}
        for point in self.points:
            member = rounded(architecture, 1 - point.compression)
            latencies[member] = max(point.latency_ms, latencies.get(member, 0))
        return latencies
