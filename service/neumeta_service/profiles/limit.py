"""The best measured member that a device runs fast enough."""

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
    """The largest member that was measured to take at most ``latency_ms`` and whose cost stays within the budget, or one that is preferred.

    Sizes that were not measured are not considered: kernels work on blocks of channels, so one may be slower than both its neighbours.
    Raises InvalidField, or BudgetImpossible, whose ``smallest`` has the cost of the smallest measured member and the lowest latency.
    """
    limits = {} if budget is None else budget.limits()
    latencies = profile.latencies(manifold.architecture)

    def fits(member: Configuration) -> bool:
        return budget is None or budget.allows(manifold.cost(member, profile.precision))

    # From the largest on costs only fall.
    fast = [member for member, latency in latencies.items() if latency <= latency_ms]
    if fitting := fast[bisect_left(fast, True, key=fits) :]:
        return manifold.preferred(fitting[0], fitting.__contains__, profile.precision)
    lowest = manifold.cost(list(latencies)[-1], profile.precision).as_dict() | {"latency_ms": min(latencies.values())}
    raise BudgetImpossible(limits | {"latency_ms": latency_ms}, lowest, member="measured member")
