"""Single flight: however many ask at once, the work is done once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


class SingleFlight(Generic[Result]):
    """Work in progress by key, within one event loop."""

    def __init__(self) -> None:
        self._flights: dict[str, asyncio.Task[Result]] = {}

    async def run(self, key: str, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """The result of ``work``, or of the work that is already under way for this key.

        A caller that is cancelled leaves the work running: others may wait for it, and its result goes into the caches.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = asyncio.create_task(work())
            flight.add_done_callback(lambda _: self._flights.pop(key))
        return await asyncio.shield(flight)

    async def drain(self) -> None:
        """Wait until nothing is under way."""
        await asyncio.gather(*self._flights.values(), return_exceptions=True)
