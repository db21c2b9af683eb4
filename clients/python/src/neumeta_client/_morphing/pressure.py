"""What may ask for a smaller network, or allow a larger one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Callable, Optional, Protocol

from neumeta_client._errors import InvalidRequest


class Advice(Enum):
    """What a pressure says about the size there is."""

    SHRINK = "shrink"
    HOLD = "hold"
    GROW = "grow"
    """A larger size would be welcome; also what a pressure says that has nothing against it."""


class Pressure(Protocol):
    """Judges the size there is; a pressure of your own needs this one method."""

    def advise(self, recent: Sequence[float]) -> Advice:
        """Advice from ``recent``, the milliseconds of the last calls at this size (oldest first), or from anything else.

        It is asked between two calls, in the thread of one of them, so it should take microseconds. What it raises is logged.
        """


def combine(advices: Iterable[Advice]) -> Advice:
    """SHRINK when anyone says so, GROW when there is someone and all agree, else HOLD."""
    said = set(advices)
    if Advice.SHRINK in said:
        return Advice.SHRINK
    return Advice.GROW if said == {Advice.GROW} else Advice.HOLD


@dataclass(frozen=True)
class LatencyBudget:
    """Milliseconds that 95 of 100 calls may take: SHRINK above ``latency_ms``, GROW below ``headroom`` of it. Raises InvalidRequest.

    Nobody knows how long a larger size takes before it is tried: ``headroom`` should be below the ratio of the latencies of a rung and of
    the next larger one, which is about that of their multiply-adds.
    """

    latency_ms: float
    headroom: float = 0.5

    def __post_init__(self) -> None:
        if not (self.latency_ms > 0 and 0 <= self.headroom < 1):
            raise InvalidRequest(f"{self} is not allowed; expected latency_ms above 0 and headroom from 0 to below 1.")

    def advise(self, recent: Sequence[float]) -> Advice:
        """Advice from the 95th percentile (nearest rank) of the recent calls; HOLD without any."""
        if not recent:
            return Advice.HOLD
        p95 = sorted(recent)[-(len(recent) // 20) - 1]
        if p95 > self.latency_ms:
            return Advice.SHRINK
        return Advice.GROW if p95 < self.headroom * self.latency_ms else Advice.HOLD


@dataclass(frozen=True)
class Reserve:
    """Something that runs out (memory, a battery): SHRINK below ``low``, GROW from ``enough`` on, HOLD between. Raises InvalidRequest.

    ``read`` gives what is left, in the unit of both limits; None where there is no such thing, which is no reason against any size.
    """

    read: Callable[[], Optional[float]]
    low: float
    enough: float

    def __post_init__(self) -> None:
        if not self.low < self.enough:
            raise InvalidRequest(f"{self} is not allowed; expected low below enough: what lies between keeps the size from swinging.")

    def advise(self, recent: Sequence[float]) -> Advice:  # noqa: ARG002 - of the protocol
        """Advice from one reading."""
        left = self.read()
        if left is None or left >= self.enough:
            return Advice.GROW
        return Advice.SHRINK if left < self.low else Advice.HOLD
