"""A job: members of one model, and what has become of each."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from neumeta_service.orders import Order

MemberState = Literal["waiting", "running", "done", "failed", "cancelled"]
JobState = Literal["queued", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True)
class Member:
    """What one artifact of a job is made from."""

    order: Order
    compression: float
    """The effective one."""

    def without_manifold(self) -> Member:
        """The same, as documents need it."""
        return replace(self, order=replace(self.order, manifold=None))


@dataclass(frozen=True)
class Outcome:
    """How far a member has come."""

    state: MemberState = "waiting"
    digest: str | None = None
    """``sha256:…`` of the artifact, when it is done."""
    problem: tuple[str, str] | None = None
    """Code and sentence, when it failed."""


class Job:
    """Members in the order in which they are made; ``outcomes`` has one entry for each."""

    def __init__(self, model: str, version: int, members: Sequence[Member]) -> None:
        self.id = secrets.token_hex(16)
        self.model = model
        self.version = version
        self.members = list(members)
        self.outcomes = [Outcome()] * len(self.members)

    @property
    def state(self) -> JobState:
        """``cancelled`` or ``failed`` when one of its members is, once none is waiting or running."""
        states = {outcome.state for outcome in self.outcomes}
        if states == {"waiting"}:
            return "queued"
        if states & {"waiting", "running"}:
            return "running"
        return "cancelled" if "cancelled" in states else "failed" if "failed" in states else "done"

    @property
    def is_finished(self) -> bool:
        """Nothing will change any more."""
        return self.state not in ("queued", "running")

    def count(self, state: MemberState) -> int:
        """How many members are in this state."""
        return sum(outcome.state == state for outcome in self.outcomes)

    def end(self, index: int, outcome: Outcome) -> None:
        """A member has come to its outcome."""
        self.outcomes[index] = outcome
        # The job is remembered for long, and would keep a version in memory that is withdrawn meanwhile.
        self.members[index] = self.members[index].without_manifold()

    def cancel(self) -> None:
        """Leave out what has not begun."""
        for index, outcome in enumerate(self.outcomes):
            if outcome.state == "waiting":
                self.end(index, Outcome("cancelled"))
