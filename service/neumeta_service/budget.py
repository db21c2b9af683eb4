"""Budgets as JSON."""

from __future__ import annotations

from typing import Self

from neumeta_core.budget import Budget
from pydantic import model_validator
from pydantic_core import PydanticCustomError

from neumeta_service.json_model import Integer, JsonModel, Number
from neumeta_service.profiles.limit import LatencyLimit


class BudgetRequest(JsonModel):
    """Maxima; at least one."""

    params: Integer = None
    macs: Integer = None
    """Multiply-adds for one input sample."""
    bytes: Integer = None
    """Size of the ONNX artifact."""
    latency_ms: Number = None
    """Milliseconds on `device`, by its profile; the two belong together."""
    device: str | None = None
    """A name that `GET /v1/models/{name}/profiles` lists."""

    @model_validator(mode="after")
    def _check_maxima(self) -> Self:
        if not self.model_dump(exclude_none=True):
            raise PydanticCustomError("no_maximum", "Input should be at least one of params, macs, bytes and latency_ms with device")
        if (self.latency_ms is None) != (self.device is None):
            raise PydanticCustomError("latency_of_device", "Input should be latency_ms together with device, or neither")
        return self

    def costs(self) -> Budget | None:
        """The maxima of a member's cost; None when there is a latency alone."""
        limits = self.model_dump(include={"params", "macs", "bytes"})
        is_latency_alone = self.device is not None and all(limit is None for limit in limits.values())
        return None if is_latency_alone else Budget(**limits)

    def latency(self) -> LatencyLimit | None:
        """The maximum of a member's latency, if there is one."""
        return None if self.device is None else LatencyLimit(self.latency_ms, self.device)
