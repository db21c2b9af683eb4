"""A service on a socket behind a fault proxy: the address stays when the service is restarted, and every request is noted."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import httpx
from fastapi import FastAPI

from tests.faults.proxy import Fault, FaultProxy
from tests.service.serving import live

Asgi = Callable[[Any, Any, Any], Awaitable[None]]


class Site:
    """``on`` says what happens to the next answers of a route, ``materialize`` or ``artifact``; all others are whole."""

    def __init__(self) -> None:
        self._proxy = FaultProxy(target=0)
        self._faults: dict[str, deque[Fault]] = defaultdict(deque)
        self._serving = ExitStack()
        self.asked: list[tuple[str, str | None]] = []
        """The route of every request, and its range."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._proxy.port}"

    @property
    def ranges(self) -> list[str | None]:
        """Of the requests for artifacts."""
        return [wanted for route, wanted in self.asked if route == "artifact"]

    def count(self, route: str) -> int:
        return sum(asked == route for asked, _ in self.asked)

    def on(self, route: str, *faults: Fault) -> None:
        self._faults[route].extend(faults)

    def serve(self, app: FastAPI) -> None:
        """From now on this app: to clients, a restart after which the service has nothing in memory."""
        self._serving.close()
        self._proxy.target = httpx.URL(self._serving.enter_context(live(self._noted(app)))).port or 0

    def _noted(self, app: FastAPI) -> Asgi:
        async def noted(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                self._note(scope["path"], dict(scope["headers"]))
            await app(scope, receive, send)

        return noted

    def _note(self, path: str, headers: dict[bytes, bytes]) -> None:
        route = "artifact" if path.startswith("/v1/artifacts/") else path.rpartition("/")[2]
        wanted = headers.get(b"range")
        self.asked.append((route, None if wanted is None else wanted.decode()))
        faults = self._faults[route]
        self._proxy.strike(faults.popleft() if faults else Fault())

    def __enter__(self) -> Self:
        self._proxy.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._proxy.__exit__(kind, error, trace)
        self._serving.close()
