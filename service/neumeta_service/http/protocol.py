"""Bounds on what a client may send before the app sees anything of it, where uvicorn has none: the size of a request's head, and the time
that a request takes to arrive.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from neumeta_service.errors import HeadersTooLarge
from neumeta_service.http.problems import problem_of
from neumeta_service.http.security_headers import security_headers_of
from neumeta_service.http.transport import JoinedWrites
from neumeta_service.telemetry.log import request_id

logger = logging.getLogger(__name__)
MAX_HEAD_BYTES = 16 * 1024
MAX_FIELDS = 100


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1. A head over ``MAX_HEAD_BYTES`` or ``MAX_FIELDS`` is answered with 431; a client that has not sent a request in
    full ``request_timeout_s`` after it began (or after it connected) is disconnected.

    A request that arrives in one piece, as nearly all do, costs a few comparisons: no timer is set for it.
    """

    request_timeout_s = 15.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client connected."""
        super().connection_made(JoinedWrites(transport, self.loop))  # type: ignore[arg-type]
        self._received = 0
        self._slack = 0
        self._refused = False
        self._timer: asyncio.TimerHandle | None = None
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """A piece of a request is there, or several requests."""
        self._received += len(data)
        scope = self.scope
        super().data_received(data)
        if self.transport.is_closing():
            return
        if not self._is_in_head():
            self._received = 0
            if self._is_whole():
                self._stop_timer()
                return
        elif self.scope is not scope:
            self._slack = len(data)  # The head began somewhere in this piece.
        elif self._received > self._slack + MAX_HEAD_BYTES:
            self._refuse()
            return
        if self._timer is None:
            self._start_timer()

    def on_headers_complete(self) -> None:
        """The head is there in full."""
        # What was received is the head and perhaps more, never less: most heads need no counting.
        if len(self.headers) > MAX_FIELDS or (self._received > MAX_HEAD_BYTES and self._size_of_head() > MAX_HEAD_BYTES):
            self._refused = True
            raise ValueError("the head is too large")  # The way to stop the parser; uvicorn then calls send_400_response.
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser stopped at."""
        if self._refused:
            self._refuse()
        else:
            super().send_400_response(msg)

    def _is_in_head(self) -> bool:
        """Whether a request began whose head is not complete: uvicorn makes the scope first, and adds the method at the head's end."""
        return self.scope is not None and "method" not in self.scope

    def _is_whole(self) -> bool:
        """Whether the last request is there in full and waits for its answer.

        Not so when all that came is an empty line before the first request, or one after an answer (RFC 9112 section 2.2): whoever sends that
        has as long to send a request as everybody else.
        """
        return self.cycle is not None and not self.cycle.more_body and not self.cycle.response_complete

    def _size_of_head(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _refuse(self) -> None:
        request_id.set(secrets.token_hex(16))
        error = HeadersTooLarge(f"Request line and headers are longer than {MAX_HEAD_BYTES} bytes or more than {MAX_FIELDS} fields.")
        scope: dict[str, Any] = {"path": ""}
        problem = problem_of(error, scope)
        fields = [
            *problem.raw_headers,
            *security_headers_of(scope),
            (b"x-request-id", request_id.get().encode()),
            (b"connection", b"close"),
        ]
        lines = b"".join(b"%b: %b\r\n" % field for field in fields)
        self.transport.write(STATUS_LINE[HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE] + lines + b"\r\n" + bytes(problem.body))
        self.transport.close()
        logger.warning("a request with too large a head was refused")

    def _start_timer(self) -> None:
        self._timer = self.loop.call_later(self.request_timeout_s, self._give_up)

    def _give_up(self) -> None:
        is_answering = self.cycle is not None and not self.cycle.response_complete and self._is_in_head()
        if is_answering or self.pipeline:  # This request waits for the answers to earlier ones.
            self._start_timer()
            return
        self._timer = None
        self.transport.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
