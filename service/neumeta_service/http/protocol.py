"""Bounds on what a client may send before the app sees anything of it, where uvicorn has none: the size of a request's head, what may follow
it that is no body, requests that wait for the answers to earlier ones, and the time that a request takes to arrive.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import httptools
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from neumeta_service.errors import HeadersTooLarge
from neumeta_service.http.problems import problem_of
from neumeta_service.http.security_headers import security_headers_of
from neumeta_service.http.transport import JoinedWrites
from neumeta_service.telemetry.log import request_id

logger = logging.getLogger(__name__)
MAX_HEAD_BYTES = 16 * 1024
MAX_FIELDS = 100
MAX_PIPELINED = 64
"""Most requests of one connection that wait for the answers to earlier ones."""
_UNREADABLE = "Invalid HTTP request received."


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1. A head over ``MAX_HEAD_BYTES`` or ``MAX_FIELDS`` is answered with 431; a client that has not sent a request in
    full ``request_timeout_s`` after it began (or after it connected) is disconnected.

    Trailer fields are dropped, and as long as a head at most; an upgrade to another protocol is not made (RFC 9110 section 7.8), and its
    request answered as any other. After what cannot be read nothing is read any more; the answers to earlier requests come first.

    A request that arrives in one piece, as nearly all do, costs a few comparisons: no timer is set for it.
    """

    request_timeout_s = 15.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client connected."""
        self._joined = JoinedWrites(transport, self.loop)
        super().connection_made(self._joined)  # type: ignore[arg-type]  # All else is passed on by __getattr__.
        self._received = 0
        self._slack = 0
        self._had_body = False
        self._is_over = False
        self._asks_for_upgrade = False
        self._timer: asyncio.TimerHandle | None = None
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._stop_timer()
        super().connection_lost(exc)

    def eof_received(self) -> None:
        """The client sends nothing more; the transport closes next, and not by way of ``JoinedWrites``."""
        self._joined.flush()

    def data_received(self, data: bytes) -> None:
        """A piece of a request is there, or several requests."""
        if self._is_over:
            return
        self._received += len(data)
        self._had_body = False
        scope = self.scope
        self._parse(data)
        if self._is_over or self.transport.is_closing():
            return
        if not self._is_in_head() and self._is_whole():
            self._received = 0
            self._stop_timer()
            return
        if self.scope is not scope:
            self._slack = len(data)  # The head began somewhere in this piece.
        elif self._had_body:
            self._received = self._slack = 0
        elif self._received > self._slack + MAX_HEAD_BYTES:
            self._refuse_head()
            return
        if self._timer is None:
            self._start_timer()

    def on_headers_complete(self) -> None:
        """The head is there in full."""
        # What was received is the head and perhaps more, never less: most heads need no counting.
        if len(self.headers) > MAX_FIELDS or (self._received > MAX_HEAD_BYTES and self._size_of_head() > MAX_HEAD_BYTES):
            self._refuse_head()
        elif len(self.pipeline) >= MAX_PIPELINED:
            self._end(self.transport.close)
        elif self.parser.get_http_version() == "1.1" and sum(name == b"host" for name, _ in self.headers) != 1:  # RFC 9112 section 3.2.
            self._end(lambda: self.send_400_response(_UNREADABLE))
        else:
            # CONNECT asks for a tunnel, and not for another answer than it gets.
            self._asks_for_upgrade = self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"
            if self._asks_for_upgrade:
                return
            super().on_headers_complete()
            self.headers = []  # Those of the request are in its scope; trailers are not for it (RFC 9110 section 6.5.1).
        if self._is_over:
            raise ValueError("nothing more is read")  # The way to stop the parser.

    def on_body(self, body: bytes) -> None:
        """A piece of a body is there."""
        self._had_body = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is there in full."""
        if not self._asks_for_upgrade:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """An answer is written in full."""
        super().on_response_complete()
        if self.pipeline:  # uvicorn reads on, whatever waits already.
            self.flow.pause_reading()

    def _parse(self, data: bytes) -> None:
        """What uvicorn does with a piece, but for upgrades: its parser says that a request which asks for one has no body."""
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._asks_for_upgrade:
                self._parse_again(data[upgrade.args[0] :])
            else:  # CONNECT, behind which is a tunnel for those who make one.
                self._end(self.transport.close)
        except httptools.HttpParserError:
            if not self._is_over:
                logger.warning("what a client sent is no HTTP/1.1")
                self._end(lambda: self.send_400_response(_UNREADABLE))

    def _parse_again(self, rest: bytes) -> None:
        """Parse a request without its ``Upgrade``, and what came after its head."""
        start = b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        fields = b"".join(b"%b: %b\r\n" % field for field in self.headers if field[0] != b"upgrade")
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # As uvicorn's own.
        self._parse(start + fields + b"\r\n" + rest)

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

    def _end(self, answer: Callable[[], None]) -> None:
        """Read nothing more; ``answer`` and close when that is no second answer to a request, and cannot come into the middle of another one."""
        self._is_over = True
        if self.cycle is not None and self.cycle.more_body and not self._is_in_head():  # It is the rest of this request.
            if self.pipeline:  # It waits for the answers to earlier ones, and is the newest.
                self.cycle.keep_alive = False
                self.pipeline[0] = (self.cycle, _refuse)  # type: ignore[assignment]  # Starlette's types for the same.
            elif self.cycle.response_started:
                self.transport.close()
            else:
                answer()
        elif self.cycle is None or self.cycle.response_complete:
            answer()
        else:
            self.cycle.keep_alive = False

    def _refuse_head(self) -> None:
        logger.warning("a request with too large a head is refused")
        self._end(self._send_431)

    def _send_431(self) -> None:
        token = request_id.set(secrets.token_hex(16))
        try:
            error = HeadersTooLarge(f"Request line and headers are longer than {MAX_HEAD_BYTES} bytes or more than {MAX_FIELDS} fields.")
            scope: dict[str, Any] = {"path": ""}
            problem = problem_of(error, scope)
            fields = [
                *self.server_state.default_headers,
                *problem.raw_headers,
                *security_headers_of(scope),
                (b"x-request-id", request_id.get().encode()),
                (b"connection", b"close"),
            ]
        finally:
            request_id.reset(token)  # Later lines of this connection are about other requests.
        lines = b"".join(b"%b: %b\r\n" % field for field in fields)
        self.transport.write(STATUS_LINE[HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE] + lines + b"\r\n" + bytes(problem.body))
        self.transport.close()

    def _start_timer(self) -> None:
        self._timer = self.loop.call_later(self.request_timeout_s, self._give_up)

    def _give_up(self) -> None:
        is_answering = self.cycle is not None and not self.cycle.response_complete and (self._is_in_head() or self._is_over)
        if is_answering or self.pipeline:  # This request waits for the answers to earlier ones.
            self._start_timer()
            return
        self._timer = None
        self.transport.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers, in its turn, a request whose rest cannot be read (ASGI)."""
    await PlainTextResponse(_UNREADABLE, HTTPStatus.BAD_REQUEST)(scope, receive, send)
