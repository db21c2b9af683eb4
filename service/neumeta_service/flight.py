"""Single flight: however many ask at once, the work is done once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


class Dropped(Exception):
    """Work found, before it began, that nobody waited for it any more."""


@dataclass
class _Flight(Generic[Result]):
    task: asyncio.Task[Result]
    waiting: int = 0


class SingleFlight(Generic[Result]):
    """Work in progress by key, within one event loop."""

    def __init__(self) -> None:
        self._flights: dict[str, _Flight[Result]] = {}

    async def run(self, key: str, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """The result of ``work``, or of the work that is already under way for this key.

        A caller that is cancelled leaves the work running: others may wait for it, and its result goes into the caches. Work that nobody
        waits for may raise Dropped; it is done anew for who came too late to prevent that.
        """
        while True:
            flight = self._under_way(key) or self._start(key, work)
            flight.waiting += 1
            try:
                return await asyncio.shield(flight.task)
            except Dropped:
                continue
            finally:
                flight.waiting -= 1

    def is_wanted(self, key: str) -> bool:
        """Whether anybody waits for the work of this key; any thread may ask."""
        flight = self._flights.get(key)
        return flight is not None and flight.waiting > 0

    def begin(self, key: str, work: Callable[[], Coroutine[Any, Any, Result]]) -> None:
        """Have the work of this key under way, without waiting for it."""
        if self._under_way(key) is None:
            self._start(key, work)

    def __len__(self) -> int:
        return len(self._flights)

    async def drain(self) -> None:
        """Wait until nothing is under way."""
        await asyncio.gather(*(flight.task for flight in self._flights.values()), return_exceptions=True)

    def _under_way(self, key: str) -> _Flight[Result] | None:
        # A flight stays listed for a step after its task has ended. Waiting for it then would not suspend the caller, who would do
        # nothing else for ever when the task was dropped.
        flight = self._flights.get(key)
        return None if flight is None or flight.task.done() else flight

    def _start(self, key: str, work: Callable[[], Coroutine[Any, Any, Result]]) -> _Flight[Result]:
        flight = self._flights[key] = _Flight(asyncio.create_task(work()))
        flight.task.add_done_callback(lambda task: self._land(key, task))
        return flight

    def _land(self, key: str, task: asyncio.Task[Result]) -> None:
        if self._flights[key].task is task:  # Else somebody came meanwhile and has it done anew.
            del self._flights[key]
        if not task.cancelled():
            task.exception()  # Looked at: asyncio would log one that nobody waited for.
