"""Bytes to a server and back, without a client library that would correct them."""

from __future__ import annotations

import re
import socket
from contextlib import suppress
from dataclasses import dataclass

import httpx

LAST = b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"


@dataclass(frozen=True)
class Wire:
    """A server's address."""

    base: str

    def say(self, message: bytes, *, is_cut: bool = False) -> list[int]:
        """Statuses of all answers until the server closes the connection; none when it just closes.

        A request that asks it to close follows, so that the end comes and what was taken for a second request is seen. With ``is_cut`` the sending
        side ends instead.
        """
        url = httpx.URL(self.base)
        with socket.create_connection((url.host, url.port or 0), timeout=60) as connection:
            received = b""
            with suppress(ConnectionResetError, BrokenPipeError):
                connection.sendall(message if is_cut else message + LAST)
                if is_cut:
                    connection.shutdown(socket.SHUT_WR)
                while piece := connection.recv(65_536):
                    received += piece
        return [int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", received)]

    def is_well(self) -> bool:
        """Whether it answers a plain request."""
        return self.say(b"") == [200]
