"""The curve: measured quality against size, and what it promises for configurations that were not measured."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from neumeta_core.architecture import Record, Total, Widths


class CurvePoint(Record):
    """Quality of one member, measured on the curve's split."""

    compression: float = Field(ge=0, lt=1)
    """The uniform compression that was asked for."""
    widths: dict[str, int]
    params: Total
    macs: Total
    quality: float
    held_out: bool = False
    """True when no training step saw any of this point's widths."""


class Estimate(Record):
    """What the curve promises for a configuration; the value is None without a measurement."""

    metric: str | None
    value: float | None
    kind: Literal["measured", "interpolated", "extrapolated"]


class Curve(Record):
    """Quality of uniform members on one split of the data."""

    metric: str
    """For example ``accuracy``, a fraction."""
    split: str
    samples: int = Field(gt=0)
    points: tuple[CurvePoint, ...] = Field(min_length=1)

    def at(self, widths: Widths, macs: int) -> Estimate:
        """The measured value when this very configuration was measured, else linear in multiply-adds between the nearest points.

        Outside the measured range the nearest point's value, marked ``extrapolated``.
        """
        for point in self.points:
            if point.widths == dict(widths):
                return Estimate(metric=self.metric, value=point.quality, kind="measured")
        ordered = sorted(self.points, key=lambda point: point.macs)
        if macs <= ordered[0].macs or macs >= ordered[-1].macs:
            nearest = ordered[0] if macs <= ordered[0].macs else ordered[-1]
            return Estimate(metric=self.metric, value=nearest.quality, kind="extrapolated")
        upper = next(index for index, point in enumerate(ordered) if point.macs >= macs)
        low, high = ordered[upper - 1], ordered[upper]
        share = (macs - low.macs) / max(high.macs - low.macs, 1)
        return Estimate(metric=self.metric, value=round(low.quality + share * (high.quality - low.quality), 6), kind="interpolated")
