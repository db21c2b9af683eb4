"""A timeout that tells a late reply from a late event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

Reply = TypeVar("Reply")


async def within(timeout_s: float, operation: Callable[[], Awaitable[Reply]]) -> Reply:
    """The reply of an operation that gets ``timeout_s`` seconds, and as many more as the loop was late when they were over.

    A loop that was held up finds the timer due before it reads the reply that came meanwhile. Raises TimeoutError, after the
    operation was cancelled.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(operation())
    deadline_s = loop.time() + timeout_s
    try:
        await asyncio.wait([task], timeout=timeout_s)
        await asyncio.wait([task], timeout=max(0.0, loop.time() - deadline_s))
        if not task.done():
            raise TimeoutError(f"no reply within {timeout_s:g} s")
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
