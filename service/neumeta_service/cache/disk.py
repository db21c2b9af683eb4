"""The second tier for one host: a folder that survives restarts and that its processes share.

Like Redis it only makes answers faster: a disk that is full, read-only or damaged counts as an error and looks empty.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

from neumeta_service.cache.base import Entry, Origin
from neumeta_service.cache.breaker import CircuitBreaker
from neumeta_service.cache.disk_files import DiskFiles
from neumeta_service.cache.disk_index import DiskIndex, is_broken
from neumeta_service.cache.disk_leases import DiskLeases
from neumeta_service.cache.guard import Guard
from neumeta_service.cache.stored import Records, lifetime_s
from neumeta_service.telemetry.metrics import Metrics

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class DiskCache:
    """Entries in ``folder``, of ``max_bytes`` together. The folder has to be on a disk of this host: the index needs its locks.

    What other processes keep locked for ``timeout_s`` counts as an error.
    """

    name = "disk"

    def __init__(
        self,
        folder: Path,
        metrics: Metrics,
        *,
        max_bytes: int,
        ttl_s: int,
        timeout_s: float = 1.0,
        records: Records | None = None,
        breaker: CircuitBreaker | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._files = DiskFiles(folder)
        self._records = records or Records()
        self._index = DiskIndex(folder, self._files, self._records, max_bytes=max_bytes, timeout_s=timeout_s, clock=clock)
        self._guard = Guard(self.name, metrics, _kind, breaker)
        self._max_bytes = max_bytes
        self._ttl_s = ttl_s
        # SQLite waits for other processes, and for the disk: never in the event loop.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="neumeta-disk")
        # Healing may take a while, so it begins at once and not with the first request.
        self._thread.submit(self._open)
        self.leases = DiskLeases(self._index, self._attempt)

    async def get(self, origin: Origin) -> Entry | None:
        """The entry with digest and size verified; a wrong one is deleted and counted, and None."""
        rows = await self._attempt("get", self._index.get, origin.key)
        if not rows:
            if rows is not None:
                self._guard.count("miss")
            return None
        digest, meta = rows[0]
        blob = await self._guard.attempt("read", lambda: asyncio.to_thread(self._files.read, digest))
        entry = None if blob is None else await asyncio.to_thread(self._records.read_entry, origin, meta, blob)
        if entry is not None:
            self._guard.count("hit")
            await self._attempt("touch", self._index.touch, digest)
        elif blob is not None:
            await self._delete_wrong(digest, is_there=blob != b"")
        return entry

    async def put(self, entry: Entry) -> None:
        """Store an entry and its origin, unless it alone is larger than the limit."""
        if len(entry.data) <= self._max_bytes:
            await self._guard.attempt("put", lambda: self._put(entry))

    async def discard(self, origin: Origin) -> None:
        """Delete an entry, and keep its digest's origin."""
        for digest, _ in await self._attempt("discard", self._index.get, origin.key) or []:
            await self._attempt("discard", self._index.forget, digest)

    async def find(self, digest: str) -> Origin | None:
        """The origin stored for a digest."""
        stored = await self._attempt("find", self._index.find, digest)
        if stored is None:
            return None
        origin = self._records.read_origin(stored)
        if origin is None:
            self._guard.corrupt("origin")
            await self._attempt("delete", self._index.forget_origin, digest)
        return origin

    async def aclose(self) -> None:
        """Close the index."""
        await self._in_thread(self._index.close)
        self._thread.shutdown()

    def _open(self) -> None:
        try:
            self._index.open()
        except (OSError, sqlite3.Error) as error:
            self._guard.failed("open", error)

    async def _put(self, entry: Entry) -> None:
        part = await asyncio.to_thread(self._files.write, entry.data)
        await self._in_thread(self._index.put, entry, part, lifetime_s(self._ttl_s))

    async def _delete_wrong(self, digest: str, *, is_there: bool) -> None:
        """Forget a blob that is wrong, or whose file is gone: then another process evicted it a moment ago, or somebody deleted it."""
        if is_there:
            self._guard.corrupt("entry")
        else:
            self._guard.count("miss")
        await self._attempt("delete", self._index.forget, digest)

    async def _attempt(self, name: str, work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result | None:
        """What the index answers, or None when it failed or the breaker is open."""
        return await self._guard.attempt(name, lambda: self._in_thread(work, *args, **kwargs))

    async def _in_thread(self, work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(work, *args, **kwargs))


def _kind(error: Exception) -> str:
    if is_broken(error):
        return "corrupt"
    if getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY"):
        return "timeout"
    return "disk" if isinstance(error, (OSError, sqlite3.Error)) else "protocol"
