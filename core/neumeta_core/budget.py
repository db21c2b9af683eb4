"""The largest uniform member that stays within maxima of parameters, multiply-adds and bytes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import asdict, dataclass

from neumeta_core.architecture import Architecture
from neumeta_core.configuration import Configuration, rounded
from neumeta_core.cost import ArtifactCost
from neumeta_core.errors import BudgetImpossible, InvalidField


@dataclass(frozen=True)
class Budget:
    """Maxima; None is no limit."""

    params: int | None = None
    macs: int | None = None
    bytes: int | None = None

    def limits(self) -> dict[str, int]:
        """The maxima that are set; InvalidField when one is no positive integer, or none is set."""
        given = {name: value for name, value in asdict(self).items() if value is not None}
        if not given:
            raise InvalidField("budget", given, "at least one of params, macs and bytes")
        for name, value in given.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InvalidField(f"budget.{name}", value, "a positive integer")
        return given

    def allows(self, cost: ArtifactCost) -> bool:
        """Whether a cost stays within all maxima that are set."""
        costs = cost.as_dict()
        return all(costs[name] <= limit for name, limit in self.limits().items())


def _ratios(architecture: Architecture) -> list[float]:
    """Rising width ratios that give every uniform member, some of them more than once."""
    smallest = 1 - architecture.max_compression
    # A group's width changes where full * ratio / granularity + 1/2 is an integer.
    steps = {
        (count - 0.5) * group.granularity / group.full for group in architecture.groups for count in range(1, group.full // group.granularity + 1)
    }
    return sorted({smallest, *(step for step in steps if smallest < step <= 1)})


def solve(architecture: Architecture, budget: Budget, cost: Callable[[Configuration], ArtifactCost]) -> Configuration:
    """The largest uniform member whose cost stays within the budget.

    Cost never falls when widths grow, so the members are searched by bisection. (Bytes can, by what the text of a promise in the artifact
    is shorter: some 20, which matter where a step of the widths adds fewer; then it is the largest but for such a step.) Raises
    BudgetImpossible, with the cost of the smallest member, when not even that one fits.
    """
    limits = budget.limits()
    # Not the members: of many groups with many widths there would be too many to hold.
    ratios = _ratios(architecture)

    first_too_large = bisect_left(ratios, True, key=lambda ratio: not budget.allows(cost(rounded(architecture, ratio))))
    if first_too_large == 0:
        raise BudgetImpossible(limits, cost(rounded(architecture, ratios[0])).as_dict())
    return rounded(architecture, ratios[first_too_large - 1])
