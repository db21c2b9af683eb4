"""Requests for another host's name are not this service's."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address

from starlette.types import ASGIApp, Receive, Scope, Send

from neumeta_service.errors import Misdirected
from neumeta_service.http.problems import problem_of


class OwnNames:
    """Answers with 421 to requests whose ``Host`` is neither one of these names nor an address.

    A page of somebody's whose name leads to this machine (DNS rebinding) is of one origin with the service for the browser that shows it, so no
    policy keeps the two apart; but the browser sends that name.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str]) -> None:
        self._app = app
        self._names = frozenset(map(_plain, names))
        # Nearly all requests of a service come by one name.
        self._is_own = lru_cache(maxsize=64)(self._names_us)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] == "http":
            host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), None)
            if host is not None and not self._is_own(host):
                await problem_of(Misdirected(host), scope)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _names_us(self, host: str) -> bool:
        name, _, port = host.rpartition(":")
        name = name if port.isdigit() and name else host
        return _plain(name) in self._names or _is_address(name.removeprefix("[").removesuffix("]"))


def _plain(name: str) -> str:
    return name.strip().lower().removesuffix(".")


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
