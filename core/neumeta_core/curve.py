"""The curve: measured quality against size, and what it promises for configurations that were not measured."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from neumeta_core.architecture import Widths
from neumeta_core.record import Count, Record, Total

Kind = Literal["measured", "interpolated", "extrapolated"]
Quality = Annotated[float, Field(ge=-1e30, le=1e30)]
"""Of whatever metric, as long as more is better; two of them have a finite difference."""
MAX_POINTS = 1000
"""Each is checked when a file is read, and looked at by every promise."""
REFERENCE = "fp32"
"""The precision in which every point was measured."""


class CurvePoint(Record):
    """Quality of one member, measured on the curve's split."""

    compression: float = Field(ge=0, lt=1)
    """The uniform compression that was asked for."""
    widths: dict[str, Count]
    params: Total
    macs: Total
    quality: Quality
    """Of the fp32 network."""
    quality_in: dict[str, Quality] = Field(default_factory=dict)
    """Of the artifacts in other precisions that were measured, by precision."""
    held_out: bool = False
    """True when no training step saw any of this point's widths."""

    def quality_of(self, precision: str) -> float:
        """Quality in a precision that was measured; KeyError for another one."""
        return self.quality if precision == REFERENCE else self.quality_in[precision]


class Estimate(Record):
    """What the curve promises for a configuration; the value is None without a measurement.

    ``precision`` is that of the measurements behind the value: fp32 when the one that was asked for was not measured.
    """

    metric: str | None
    value: float | None
    kind: Kind
    precision: str = REFERENCE


class Curve(Record):
    """Quality of uniform members on one split of the data."""

    metric: str
    """For example ``accuracy``, a fraction."""
    split: str
    samples: int = Field(gt=0)
    points: tuple[CurvePoint, ...] = Field(min_length=1, max_length=MAX_POINTS)

    def at(self, widths: Widths, macs: int, precision: str = REFERENCE) -> Estimate:
        """The measured value when this very configuration was measured, else linear in multiply-adds between the nearest points.

        Outside the measured range the nearest point's value, marked ``extrapolated``. Of a precision in which not all points were
        measured, the same in fp32: the estimate says so.
        """
        precision = self._measured(precision)
        value, kind = self._value(widths, macs, precision)
        return Estimate(metric=self.metric, value=value, kind=kind, precision=precision)

    def better_below(self, widths: Widths, macs: int, precision: str = REFERENCE) -> list[tuple[float, CurvePoint]]:
        """Points with fewer multiply-adds and a quality that exceeds what is promised here by more than one deviation, the larger ones first."""
        precision = self._measured(precision)
        promised = self._value(widths, macs, precision)[0]
        least = promised + self.deviation(promised)
        found = [(quality, point) for point in self.points if point.macs < macs and (quality := point.quality_of(precision)) > least]
        return sorted(found, key=lambda pair: pair[1].macs, reverse=True)

    def deviation(self, quality: float) -> float:
        """One standard deviation of a fraction that was counted over the samples (binomial); 0 of what is no fraction."""
        return math.sqrt(quality * (1 - quality) / self.samples) if 0 <= quality <= 1 else 0.0

    def _measured(self, precision: str) -> str:
        return precision if all(precision in point.quality_in for point in self.points) else REFERENCE

    def _value(self, widths: Widths, macs: int, precision: str) -> tuple[float, Kind]:
        for point in self.points:
            if point.widths == dict(widths):
                return point.quality_of(precision), "measured"
        ordered = sorted(self.points, key=lambda point: point.macs)
        if macs <= ordered[0].macs or macs >= ordered[-1].macs:
            nearest = ordered[0] if macs <= ordered[0].macs else ordered[-1]
            return nearest.quality_of(precision), "extrapolated"
        upper = next(index for index, point in enumerate(ordered) if point.macs >= macs)
        low, high = ordered[upper - 1], ordered[upper]
        share = (macs - low.macs) / max(high.macs - low.macs, 1)
        smaller, larger = low.quality_of(precision), high.quality_of(precision)
        return round(smaller + share * (larger - smaller), 6), "interpolated"
