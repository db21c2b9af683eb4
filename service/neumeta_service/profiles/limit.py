"""The largest measured member that a device runs fast enough."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass

from neumeta_core.budget import Budget
from neumeta_core.configuration import Configuration
from neumeta_core.errors import BudgetImpossible, InvalidField
from neumeta_core.manifold import Manifold

from neumeta_service.profiles.profile import Profile


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


def solve_within(manifold: Manifold, profile: Profile, latency_ms: float, *, budget: Budget | None = None) -> Configuration:
    """The largest member that was measured to take at most ``latency_ms``, and whose cost stays within the budget.

    Sizes that were not measured are not considered: kernels work on blocks of channels, so one may be slower than both its neighbours.
    Raises InvalidField, or BudgetImpossible, whose ``smallest`` has the cost of the smallest measured member and the lowest latency.
    """
    limits = {} if budget is None else budget.limits()
    latencies = profile.latencies(manifold.architecture)

    def cost(member: Configuration) -> dict[str, int]:
        return manifold.cost(member, profile.precision).as_dict()

    def fits(member: Configuration) -> bool:
        costs = cost(member)
        return all(costs[name] <= limit for name, limit in limits.items())

    # From the largest on costs only fall.
    fast = [member for member, latency in latencies.items() if latency <= latency_ms]
    largest = bisect_left(fast, True, key=fits)
    if largest < len(fast):
        return fast[largest]
    lowest = cost(list(latencies)[-1]) | {"latency_ms": min(latencies.values())}
    raise BudgetImpossible(limits | {"latency_ms": latency_ms}, lowest, member="measured member")
