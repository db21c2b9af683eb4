"""The largest member that a device runs fast enough."""

from __future__ import annotations

import math
from dataclasses import dataclass

from neumeta_core.budget import Budget, solve
from neumeta_core.configuration import Configuration, effective_compression
from neumeta_core.errors import InvalidField
from neumeta_core.manifold import Manifold

from neumeta_service.profiles.curve import LatencyCurve


@dataclass(frozen=True)
class LatencyLimit:
    """A maximum of milliseconds on a device."""

    ms: float
    device: str

    def check(self) -> None:
        """InvalidField when it is no positive, finite number."""
        is_number = isinstance(self.ms, (int, float)) and not isinstance(self.ms, bool)
        if not is_number or not 0 < self.ms < math.inf:
            raise InvalidField("budget.latency_ms", self.ms, "a positive number")


def solve_within(manifold: Manifold, latency_ms: float, curve: LatencyCurve, *, budget: Budget | None = None, precision: str) -> Configuration:
    """The largest uniform member that takes at most ``latency_ms`` by the curve, and whose cost stays within the budget.

    Raises InvalidField, or BudgetImpossible, whose ``smallest`` has the lowest latency of the curve.
    """
    limits: dict[str, float] = {} if budget is None else dict(budget.limits())

    def measure(member: Configuration) -> dict[str, float]:
        return manifold.cost(member, precision).as_dict() | {"latency_ms": curve.at(effective_compression(manifold.architecture, member))}

    return solve(manifold.architecture, limits | {"latency_ms": latency_ms}, measure)
