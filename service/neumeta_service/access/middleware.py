"""Access as plain ASGI: who asks, and how often."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

from limits import RateLimitItem
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from neumeta_service.access.authenticator import Authenticator
from neumeta_service.access.caller import is_open, needed_scope
from neumeta_service.access.limits import RateLimits
from neumeta_service.errors import Forbidden, RefusedRequest, Unauthenticated
from neumeta_service.http.problems import problem_of

_VARY = (b"vary", b"Authorization")
_PRIVATE = (b"cache-control", b"private")


class AccessControl:
    """Lets requests through that carry a token with the scope they need; answers with 401 or 403 to all others.

    What it lets through is for this caller alone: no shared cache may give it to somebody else (RFC 9111 section 3.5).
    """

    def __init__(self, app: ASGIApp, authenticator: Authenticator) -> None:
        self._app = app
        self._authenticator = authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] != "http" or is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        needed = needed_scope(scope["method"], scope["path"])
        try:
            caller = scope.setdefault("state", {})["caller"] = self._authenticator.authenticate(_authorization(scope))
            if needed not in caller.scopes:
                raise Forbidden(needed)
        except RefusedRequest as error:
            await problem_of(error, scope)(scope, receive, send)
            return

        async def send_private(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*map(_private, message["headers"]), _VARY]
                message["headers"] = headers if any(name == b"cache-control" for name, _ in headers) else [*headers, _PRIVATE]
            await send(message)

        await self._app(scope, receive, send_private)


class RateLimit:
    """Answers with 429 to a caller who asks more often than allowed: by token, and without one by address."""

    def __init__(self, app: ASGIApp, limits: RateLimits, rate: RateLimitItem | None) -> None:
        self._app = app
        self._limits = limits
        self._rate = rate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] == "http" and not is_open(scope["path"]):
            caller = scope.get("state", {}).get("caller")
            rate = caller.rate or self._rate if caller is not None else self._rate
            if rate is not None:
                try:
                    await self._limits.check(caller.identity if caller is not None else _address(scope), rate)
                except RefusedRequest as error:
                    await problem_of(error, scope)(scope, receive, send)
                    return
        await self._app(scope, receive, send)


def _authorization(scope: Scope) -> bytes:
    found = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(found) > 1:
        raise Unauthenticated("There are several Authorization headers; send one.", "invalid_request")
    return bytes(found[0]) if found else b""


def _private(header: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    name, value = header
    return (name, value.replace(b"public", b"private")) if name == b"cache-control" else header


def _address(scope: Scope) -> str:
    """The client's address; of IPv6 the network of 64 bits, which one client has to itself (RFC 6177).

    A socket for both families has all clients of IPv4 in one such network (RFC 4291 section 2.5.5.2); they count by their own address.
    """
    client = scope.get("client")
    if client is None:
        return "address:unknown"
    try:
        address = ip_address(client[0])
    except ValueError:
        return "address:unknown"
    if isinstance(address, IPv6Address):
        return f"address:{address.ipv4_mapped or f'{int(address) >> 64:x}'}"
    return f"address:{address}"
