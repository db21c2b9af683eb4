"""A transport that sends the head of an answer together with the body."""

from __future__ import annotations

import asyncio
from typing import Any

MAX_HELD_BYTES = 16 * 1024


class JoinedWrites:
    """A transport whose short writes wait for the next one, or until the event loop is free; both are then one call of the system.

    uvicorn writes an answer's head and its body one after the other, and uvloop sends each of them at once: a call more, a packet more, and a
    client that wakes up for a head alone. Nothing longer than ``MAX_HELD_BYTES`` waits, so that what the transport says about its buffer is
    true (``pause_writing``). All else is the transport's.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: bytes | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes | memoryview) -> None:
        """Send it, together with what is held."""
        if self._held is not None:
            held, self._held = self._held, None
            self._transport.writelines((held, data))
        elif isinstance(data, bytes) and len(data) <= MAX_HELD_BYTES:
            self._held = data
            self._loop.call_soon(self.flush)
        else:
            self._transport.write(data)

    def close(self) -> None:
        """Send what is held, and close."""
        self.flush()
        self._transport.close()

    def flush(self) -> None:
        """Send what is held."""
        held, self._held = self._held, None
        if held and not self._transport.is_closing():
            self._transport.write(held)
