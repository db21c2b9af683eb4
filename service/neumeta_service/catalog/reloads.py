"""Reloads: the engine's catalog is renewed while requests go on with what they hold."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from typing import TypeVar

from neumeta_service.catalog.catalog import Refusal
from neumeta_service.catalog.repository import Repository
from neumeta_service.catalog.store import Release
from neumeta_service.engine import Engine
from neumeta_service.errors import StoreUnavailable

logger = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class Changes:
    """What a reload came to; ``refused`` is all that is refused now, whether or not it was before."""

    added: tuple[Release, ...]
    withdrawn: tuple[Release, ...]
    refused: tuple[Refusal, ...]


class Reloads:
    """Reloads of one engine, one at a time.

    They list and read files in a thread of their own: neither the event loop nor the thread that computes waits for a store.
    """

    def __init__(self, repository: Repository, engine: Engine) -> None:
        self._repository = repository
        self._engine = engine
        self._results = engine.metrics.reloads
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="neumeta-reload")

    async def run(self) -> Changes:
        """Renew the catalog. Raises StoreUnavailable when the store cannot be listed; then nothing changes."""
        return await self._in_thread(self._renew)

    async def watch(self, interval_s: float, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep) -> None:
        """Renew the catalog whenever the store lists other files than those that were read last, without end.

        ``sleep`` is what waits between two looks.
        """
        while True:
            await sleep(interval_s)
            try:
                if await self._in_thread(self._has_changed):
                    await self.run()
            except StoreUnavailable as error:
                logger.warning("looking for new versions failed: %s", error)
            except Exception:  # Nobody would notice a watcher that has ended.
                logger.exception("a reload failed")

    async def aclose(self) -> None:
        """Finish the reload that is under way, and forget those that wait."""
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        # With its context, so that log lines of a reload have the id of the request that asked for it.
        return await asyncio.get_running_loop().run_in_executor(self._thread, copy_context().run, work)

    def _has_changed(self) -> bool:
        with self._failures_counted():
            return self._repository.has_changed()

    def _renew(self) -> Changes:
        before = self._engine.catalog
        with self._failures_counted():
            after = self._repository.renew(before)
        self._engine.catalog = after
        changes = Changes(tuple(sorted(after.releases - before.releases)), tuple(sorted(before.releases - after.releases)), refused=after.refusals)
        self._engine.metrics.show_models(changes.added, changes.withdrawn, refused=len(changes.refused))
        self._results.labels("refused" if changes.refused else "ok").inc()
        for name, version in changes.withdrawn:
            logger.info("%s version %d is withdrawn", name, version)
        return changes

    @contextmanager
    def _failures_counted(self) -> Iterator[None]:
        try:
            yield
        except Exception:
            self._results.labels("failed").inc()
            raise


@asynccontextmanager
async def watching(reloads: Reloads | None, interval_s: float) -> AsyncIterator[None]:
    """While this lasts, versions are looked for every ``interval_s`` seconds, unless that is 0; its end closes the reloads."""
    if reloads is None:
        yield
        return
    watcher = asyncio.create_task(reloads.watch(interval_s)) if interval_s else None
    try:
        yield
    finally:
        if watcher is not None:
            watcher.cancel()
        await reloads.aclose()
