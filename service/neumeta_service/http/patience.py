"""How long a request is worked for: until its deadline, or until its client hangs up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive

from neumeta_service.errors import DeadlineExceeded

Result = TypeVar("Result")
HEADER = "request-timeout"


class Patience:
    """Waits for what takes long, at most ``limit_s`` seconds for each request or what its ``Request-Timeout`` says, if that is less."""

    def __init__(self, limit_s: float, *, retry_after_s: Callable[[], int]) -> None:
        self._limit_s = limit_s
        self._retry_after_s = retry_after_s

    async def wait(self, request: Request, work: Coroutine[Any, Any, Result]) -> Result:
        """The result of ``work``, which is cancelled when this gives up: DeadlineExceeded, or ClientDisconnect when nobody listens any more."""
        limit_s = self._limit_of(request)
        working, gone = asyncio.create_task(work), asyncio.create_task(_disconnect(request.receive))
        try:
            await asyncio.wait((working, gone), timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            if gone.done():
                raise ClientDisconnect
            raise DeadlineExceeded(limit_s, self._retry_after_s())
        finally:
            gone.cancel()
            working.cancel()

    def _limit_of(self, request: Request) -> float:
        try:
            wished_s = float(request.headers.get(HEADER, ""))
        except ValueError:
            return self._limit_s
        # Not for NaN either.
        return wished_s if 0 <= wished_s < self._limit_s else self._limit_s


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
