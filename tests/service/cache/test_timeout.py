from __future__ import annotations

import asyncio
import time

import pytest
from neumeta_service.cache.timeout import within

pytestmark = pytest.mark.anyio


async def test_a_reply_in_time() -> None:
    async def answer() -> str:
        await asyncio.sleep(0)
        return "reply"

    assert await within(60, answer) == "reply"


async def test_an_error_is_passed_on() -> None:
    async def fail() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await within(60, fail)


async def test_no_reply_is_cancelled_before_it_raises() -> None:
    ended = False

    async def hang() -> None:
        nonlocal ended
        try:
            await asyncio.Event().wait()
        finally:
            ended = True

    with pytest.raises(TimeoutError, match=r"0\.01 s"):
        await within(0.01, hang)
    assert ended


async def test_cancelling_reaches_the_operation() -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    task = asyncio.create_task(within(60, hang))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_a_late_event_loop_is_no_late_reply() -> None:
    """The reply is in the socket while something else holds the loop: when the loop goes on, time is up before it has read it."""
    replied = asyncio.Event()

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(3)
        writer.write(b"reply")
        writer.close()
        replied.set()

    async with await asyncio.start_server(reply, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.transport.pause_reading()
        writer.write(b"ask")
        await replied.wait()

        async def read() -> bytes:
            writer.transport.resume_reading()
            time.sleep(0.5)
            # A long reply takes many rounds of the loop.
            for _ in range(20):
                await asyncio.sleep(0)
            return await reader.readexactly(5)

        assert await within(0.01, read) == b"reply"
        writer.close()
        await writer.wait_closed()
