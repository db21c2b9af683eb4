"""The shared tiers as the contract suite sees them: ways to open a cache, and ways to do harm to what it stored."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Protocol

from neumeta_service.cache import Cache, DiskCache, Entry, RedisCache
from neumeta_service.cache.breaker import CircuitBreaker
from neumeta_service.cache.stored import Records
from neumeta_service.telemetry.metrics import Metrics

from tests.service.redis_server import RedisServer

TTL_S = 1000


class Shared(Protocol):
    """A place that caches share."""

    metrics: Metrics

    def open(self, *, limit: int = 1_000_000, records: Records | None = None) -> Cache: ...
    def overwrite_blob(self, entry: Entry, data: bytes) -> None: ...
    def overwrite_meta(self, entry: Entry, meta: str) -> None: ...
    def overwrite_origin(self, entry: Entry, origin: str) -> None: ...
    def remove_blob(self, entry: Entry) -> None: ...
    def holds(self, entry: Entry) -> bool: ...
    def lifetimes_s(self) -> list[float]: ...
    def lease_s(self, entry: Entry) -> float: ...
    def let_all_expire(self) -> None: ...


class SharedRedis:
    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self.metrics = Metrics()

    def open(self, *, limit: int = 1_000_000, records: Records | None = None) -> Cache:
        breaker = CircuitBreaker(threshold=1000)
        # A long timeout: a busy machine must not look like a dead server.
        return RedisCache(self._server.url, self.metrics, timeout_s=30, ttl_s=TTL_S, max_value_bytes=limit, records=records, breaker=breaker)

    def overwrite_blob(self, entry: Entry, data: bytes) -> None:
        self._set(f"nm:v1:{{{entry.origin.key}}}:blob", data)

    def overwrite_meta(self, entry: Entry, meta: str) -> None:
        self._set(f"nm:v1:{{{entry.origin.key}}}:meta", meta)

    def overwrite_origin(self, entry: Entry, origin: str) -> None:
        self._set(f"nm:v1:digest:{entry.digest[7:]}", origin)

    def remove_blob(self, entry: Entry) -> None:
        with self._server.connect() as client:
            client.delete(f"nm:v1:{{{entry.origin.key}}}:blob")

    def holds(self, entry: Entry) -> bool:
        with self._server.connect() as client:
            return bool(client.exists(f"nm:v1:{{{entry.origin.key}}}:blob"))

    def lifetimes_s(self) -> list[float]:
        with self._server.connect() as client:
            return [client.pttl(key) / 1000 for key in client.scan_iter("*:meta")]

    def lease_s(self, entry: Entry) -> float:
        with self._server.connect() as client:
            return float(client.pttl(f"nm:v1:{{{entry.origin.key}}}:lease")) / 1000

    def let_all_expire(self) -> None:
        with self._server.connect() as client:
            for key in client.scan_iter():
                client.pexpire(key, 0)

    def _set(self, key: str, value: bytes | str) -> None:
        with self._server.connect() as client:
            client.set(key, value)


class SharedFolder:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index = folder / "index-1.sqlite"
        self.metrics = Metrics()
        self.now_s = time.time()

    def open(self, *, limit: int = 1_000_000, records: Records | None = None, timeout_s: float = 60) -> DiskCache:
        return DiskCache(
            self.folder,
            self.metrics,
            max_bytes=limit,
            ttl_s=TTL_S,
            timeout_s=timeout_s,  # A long one: a busy disk must not look like a locked one.
            records=records,
            breaker=CircuitBreaker(threshold=1000),
            clock=lambda: self.now_s,
        )

    def blob(self, entry: Entry) -> Path:
        name = entry.digest[7:]
        return self.folder / "sha256" / name[:2] / name

    def blobs(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("sha256/*/*"))

    def overwrite_blob(self, entry: Entry, data: bytes) -> None:
        self.blob(entry).write_bytes(data)

    def overwrite_meta(self, entry: Entry, meta: str) -> None:
        self.execute("UPDATE entry SET meta = ? WHERE key = ?", meta, entry.origin.key)

    def overwrite_origin(self, entry: Entry, origin: str) -> None:
        self.execute("UPDATE origin SET origin = ? WHERE digest = ?", origin, entry.digest)

    def remove_blob(self, entry: Entry) -> None:
        self.blob(entry).unlink()

    def holds(self, entry: Entry) -> bool:
        return self.blob(entry).exists()

    def lifetimes_s(self) -> list[float]:
        return [expires_s - self.now_s for (expires_s,) in self.execute("SELECT expires_s FROM entry")]

    def lease_s(self, entry: Entry) -> float:
        rows = self.execute("SELECT expires_s FROM lease WHERE key = ?", entry.origin.key)
        return rows[0][0] - self.now_s if rows else -1

    def let_all_expire(self) -> None:
        self.now_s += 1.1 * TTL_S + 1

    def execute(self, statement: str, *values: object) -> list[tuple]:  # type: ignore[type-arg]
        with closing(sqlite3.connect(self.index, timeout=30)) as connection, connection:
            return connection.execute(statement, values).fetchall()
