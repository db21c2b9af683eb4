"""What surrounds every request, as plain ASGI: an id, a limit on the body, a log line and metrics."""

from __future__ import annotations

import logging
import re
import secrets
from time import perf_counter

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from neumeta_service.errors import BodyTooLarge
from neumeta_service.http.problems import problem_of
from neumeta_service.http.security_headers import security_headers_of
from neumeta_service.telemetry.log import request_id
from neumeta_service.telemetry.metrics import Metrics
from neumeta_service.telemetry.request_line import RequestLine

logger = logging.getLogger(__name__)
MAX_BODY_BYTES = 16 * 1024
_REQUEST_ID = re.compile(b"[A-Za-z0-9._-]{1,64}")


class RequestContext:
    """Gives every request an id, a log line and a place in the metrics; turns what nobody handled into a problem document."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        offered = _field(scope, b"x-request-id")
        identity = offered if _REQUEST_ID.fullmatch(offered) else secrets.token_hex(16).encode()
        request_id.set(identity.decode())
        scope.setdefault("state", {})
        guarding = security_headers_of(scope)
        status = sent_bytes = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status, sent_bytes
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *guarding, (b"x-request-id", identity)]
            else:
                sent_bytes += len(message.get("body", b""))
            await send(message)

        started = perf_counter()
        self._metrics.inflight.inc()
        try:
            await self._app(scope, receive, send_with_id)
        except ClientDisconnect:
            scope["state"]["outcome"] = "disconnected"
        except Exception as error:
            if status:
                raise
            logger.exception("request failed")
            await problem_of(error, scope)(scope, receive, send_with_id)
        finally:
            self._metrics.inflight.dec()
            self._record(scope, status, perf_counter() - started, sent_bytes)

    def _record(self, scope: Scope, status: int, seconds: float, sent_bytes: int) -> None:
        operation: str = getattr(scope.get("endpoint"), "__name__", "none")
        outcome = scope["state"].get("outcome", "ok" if status else "cancelled")
        self._metrics.requests_of(operation, outcome).inc()
        self._metrics.request_seconds_of(operation).observe(seconds)
        if logger.isEnabledFor(logging.INFO):
            logger.info(RequestLine(scope, status, operation, outcome, seconds, sent_bytes))


class BodyLimit:
    """Reads a request's body, at most ``MAX_BODY_BYTES`` of it, before the app sees the request; more is answered with 413."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = _field(scope, b"content-length")
        if not declared and not _field(scope, b"transfer-encoding"):  # No body (RFC 9112 section 6.3).
            await self._app(scope, receive, send)
            return
        body = None if _is_too_long(declared) else await _read(receive)
        if body is None:
            error = BodyTooLarge(f"The body is longer than {MAX_BODY_BYTES} bytes.")
            await problem_of(error, scope)(scope, receive, send)
            return
        await self._app(scope, replaying(body, receive), send)


def replaying(message: Message, receive: Receive) -> Receive:
    """A ``receive`` that gives a message once more, and then what follows it."""
    messages = iter([message])

    async def replay() -> Message:
        return next(messages, None) or await receive()

    return replay


def _field(scope: Scope, wanted: bytes) -> bytes:
    """The value of a request's first header field of this name (lower case); empty without one."""
    for name, value in scope["headers"]:
        if name == wanted:
            return bytes(value)
    return b""


def _is_too_long(declared: bytes) -> bool:
    return declared.isdigit() and (len(declared) > 9 or int(declared) > MAX_BODY_BYTES)


async def _read(receive: Receive) -> Message | None:
    """The whole body as one message; None when it is too long. Raises ClientDisconnect when the client leaves first."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            return None
        if not message.get("more_body", False):
            return {"type": "http.request", "body": bytes(body), "more_body": False}
