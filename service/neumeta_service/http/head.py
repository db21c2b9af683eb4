"""HEAD, which every path with a GET has (RFC 9110 section 9.1): probes and caches ask with it."""

from __future__ import annotations

from starlette.routing import Match, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadAsGet:
    """Answers HEAD as GET without the content (RFC 9110 section 9.3.2), where no route has a HEAD of its own."""

    def __init__(self, app: ASGIApp, router: Router) -> None:
        self._app = app
        self._router = router

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] != "http" or scope["method"] != "HEAD" or self._has_head(scope):
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        # Not in place: the server reads there whether it may send content.
        asked = {**scope, "method": "GET"}
        try:
            await self._app(asked, receive, send_head)
        finally:
            if "endpoint" in asked:
                scope["endpoint"] = asked["endpoint"]

    def _has_head(self, scope: Scope) -> bool:
        return any(route.matches(scope)[0] is Match.FULL for route in self._router.routes)
