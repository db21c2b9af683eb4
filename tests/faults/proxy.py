"""A TCP proxy that does to a connection what broken networks and servers do."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

Result = TypeVar("Result")
_PIECE = 65_536


@dataclass(frozen=True)
class Fault:
    """What happens to the replies; by default nothing."""

    refuses: bool = False
    """Connections are reset as soon as they are there."""
    is_silent: bool = False
    """Nothing ever comes back: a black hole; with ``cuts_after`` nothing more after so many bytes."""
    delay_s: float = 0
    """Every piece comes that much later."""
    piece_bytes: int = _PIECE
    """How long a piece is at most."""
    cuts_after: int | None = None
    """So many bytes come back, then the connection is closed."""
    change: Callable[[bytes], bytes] = bytes
    """What comes back instead of a piece."""
    beyond: bytes = b""
    """Only what comes after the first of these bytes is changed, counted or kept back: after an HTTP head, for example."""


class _Replies:
    """What comes back over one connection under one fault."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self._left = 0 if fault.is_silent and fault.cuts_after is None else fault.cuts_after
        self._is_beyond = False

    @property
    def is_cut(self) -> bool:
        return self._is_beyond and self._left == 0 and not self.fault.is_silent

    def spoil(self, reply: bytes) -> list[bytes]:
        """The pieces that come back instead."""
        start = 0 if self._is_beyond else self._end_of_mark(reply)
        spoiled = self.fault.change(reply[start:])[: self._left] if start < len(reply) else b""
        if self._left is not None:
            self._left -= len(spoiled)
        sent, size = reply[:start] + spoiled, self.fault.piece_bytes
        return [sent[at : at + size] for at in range(0, len(sent), size)]

    def _end_of_mark(self, reply: bytes) -> int:
        at = reply.find(self.fault.beyond)
        self._is_beyond = at >= 0
        return at + len(self.fault.beyond) if self._is_beyond else len(reply)


class FaultProxy:
    """Listens on a free port of the loopback interface, in a thread of its own; passes everything on to ``target`` with the current fault.

    A new ``target`` is that of new connections.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self._fault = Fault()
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self.port = 0

    @property
    def url(self) -> str:
        """Of the Redis behind it."""
        return f"redis://127.0.0.1:{self.port}/0"

    def suffer(self, fault: Fault) -> None:
        """From now on this fault; connections that are open are closed, so that nothing of the last one is left."""
        self._run(self._suffer(fault))

    def strike(self, fault: Fault) -> None:
        """From now on this fault, also on connections that are open, and counted from here."""
        self._fault = fault

    def heal(self) -> None:
        self.suffer(Fault())

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    async def _suffer(self, fault: Fault) -> None:
        self._fault = fault
        for writer in self._open:
            writer.transport.abort()

    async def _stop(self) -> None:
        self._server.close()
        await self._suffer(self._fault)
        waiting = asyncio.all_tasks() - {asyncio.current_task()}
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._fault.refuses:
            reset = struct.pack("ii", 1, 0)  # Lingers for no time: RST instead of FIN.
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            writer.close()
            return
        self._open.add(writer)
        with suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
            self._open.add(far_writer)
            await asyncio.gather(self._pass_on(reader, far_writer), self._answer(far_reader, writer))
            self._open.discard(far_writer)
        self._open.discard(writer)
        writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        replies = _Replies(self._fault)
        while piece := await reader.read(_PIECE):
            if replies.fault is not self._fault:
                replies = _Replies(self._fault)
            for sent in replies.spoil(piece):
                await asyncio.sleep(replies.fault.delay_s)
                writer.write(sent)
                await writer.drain()
            if replies.is_cut:
                break
        writer.close()
