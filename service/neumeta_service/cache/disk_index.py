"""What is in the folder of a disk cache: an SQLite database that the processes of one host share.

A blob's file gets its name, and loses it, inside the transaction that changes its rows: the write lock keeps both in step.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from neumeta_service.cache.base import Entry
from neumeta_service.cache.disk_files import DiskFiles
from neumeta_service.cache.lease import Claim
from neumeta_service.cache.stored import Records

# No write takes this long, so what is older was left by a process that is gone.
_OLDEST_PART_S = 3600.0
_BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS blob (digest TEXT PRIMARY KEY, size INTEGER NOT NULL, used INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS blob_used ON blob (used);
CREATE TABLE IF NOT EXISTS entry (
    key TEXT PRIMARY KEY, digest TEXT NOT NULL REFERENCES blob ON DELETE CASCADE, meta TEXT NOT NULL, expires_s REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS entry_digest ON entry (digest);
CREATE INDEX IF NOT EXISTS entry_expires_s ON entry (expires_s);
CREATE TABLE IF NOT EXISTS origin (digest TEXT PRIMARY KEY, origin TEXT NOT NULL, expires_s REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS origin_expires_s ON origin (expires_s);
CREATE TABLE IF NOT EXISTS lease (key TEXT PRIMARY KEY, token TEXT NOT NULL, expires_s REAL NOT NULL) WITHOUT ROWID;
"""


class DiskIndex:
    """Rows of ``folder/index-1.sqlite`` and the files that belong to them. Raises sqlite3.Error and OSError; all calls come from one thread.

    A database that turns out to be broken is removed, and made anew when it is used next. Expiry is by wall clock: ``clock``. Another
    process that writes is waited for, ``timeout_s`` at most.
    """

    def __init__(self, folder: Path, files: DiskFiles, records: Records, *, max_bytes: int, timeout_s: float, clock: Callable[[], float]) -> None:
        self._path = folder / "index-1.sqlite"
        self._files = files
        self._records = records
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._clock = clock
        self._connection: sqlite3.Connection | None = None
        self._inode: int | None = None

    def open(self) -> None:
        """Open the database unless it is open, and bring it and the files in step; a broken one is removed."""
        if self._connection is not None and self._is_in_place():
            return
        self.close()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._connection = _connect(self._path, self._timeout_s)
        except sqlite3.DatabaseError as error:
            if is_broken(error):
                self._drop()
            raise
        try:
            self._inode = self._path.stat().st_ino
            self._heal()
        except (OSError, sqlite3.Error):
            self.close()  # So that the next use heals it.
            raise

    def close(self) -> None:
        """Close the database."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def get(self, key: str) -> list[tuple[str, str]]:
        """Digest and meta of an entry that has not expired, or nothing."""
        with self._transaction("DEFERRED") as rows:
            return rows.execute("SELECT digest, meta FROM entry WHERE key = ? AND expires_s > ?", (key, self._clock())).fetchall()

    def touch(self, digest: str) -> None:
        """Make a blob the one that was used last."""
        with self._transaction() as rows:
            rows.execute("UPDATE blob SET used = (SELECT max(used) + 1 FROM blob) WHERE digest = ?", (digest,))

    def put(self, entry: Entry, part: Path, ttl_s: float) -> None:
        """Take over a blob that was written, and remove what has expired or exceeds the limit, least recently used first."""
        expires_s = self._clock() + ttl_s
        try:
            with self._transaction() as rows:
                self._files.publish(part, entry.digest)
                rows.execute(
                    "INSERT INTO blob SELECT ?, ?, coalesce(max(used), 0) + 1 FROM blob WHERE true"
                    " ON CONFLICT (digest) DO UPDATE SET size = excluded.size, used = excluded.used",
                    (entry.digest, len(entry.data)),
                )
                replaced = rows.execute("SELECT digest FROM entry WHERE key = ?", (entry.origin.key,)).fetchall()
                meta, origin = self._records.meta(entry), self._records.origin(entry.origin)
                rows.execute("INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?)", (entry.origin.key, entry.digest, meta, expires_s))
                rows.execute("INSERT OR REPLACE INTO origin VALUES (?, ?, ?)", (entry.digest, origin, expires_s))
                self._prune(rows, replaced)
        except (OSError, sqlite3.Error):
            if part.exists():
                part.unlink()
            else:  # It has its name already, but its rows were rolled back.
                self._files.remove(entry.digest)
            raise

    def forget(self, digest: str) -> None:
        """Remove a blob and its entries; its origin stays."""
        with self._transaction() as rows:
            self._remove(rows, digest)

    def find(self, digest: str) -> str | None:
        """The origin of a digest, as it was stored."""
        with self._transaction("DEFERRED") as rows:
            found = rows.execute("SELECT origin FROM origin WHERE digest = ? AND expires_s > ?", (digest, self._clock())).fetchone()
        return None if found is None else found[0]

    def forget_origin(self, digest: str) -> None:
        """Remove the origin of a digest."""
        with self._transaction() as rows:
            rows.execute("DELETE FROM origin WHERE digest = ?", (digest,))

    def claim(self, key: str, token: str, ttl_s: float) -> Claim:
        """As ``Leases.claim``."""
        now_s = self._clock()
        with self._transaction() as rows:
            if rows.execute("SELECT 1 FROM entry WHERE key = ? AND expires_s > ?", (key, now_s)).fetchone():
                return Claim.STORED
            taken = rows.execute(
                "INSERT INTO lease VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE"
                " SET token = excluded.token, expires_s = excluded.expires_s WHERE lease.expires_s <= ?",
                (key, token, now_s + ttl_s, now_s),
            )
            return Claim.OURS if taken.rowcount else Claim.THEIRS

    def renew(self, key: str, token: str, ttl_s: float) -> bool:
        """As ``Leases.renew``."""
        with self._transaction() as rows:
            renewed = rows.execute("UPDATE lease SET expires_s = ? WHERE key = ? AND token = ?", (self._clock() + ttl_s, key, token))
            return renewed.rowcount == 1

    def release(self, key: str, token: str) -> None:
        """As ``Leases.release``."""
        with self._transaction() as rows:
            rows.execute("DELETE FROM lease WHERE key = ? AND token = ?", (key, token))

    @contextmanager
    def _transaction(self, kind: str = "IMMEDIATE") -> Iterator[sqlite3.Connection]:
        self.open()
        assert self._connection is not None
        try:
            self._connection.execute(f"BEGIN {kind}")
            with self._connection:
                yield self._connection
        except sqlite3.DatabaseError as error:
            if is_broken(error):
                self._drop()
            raise

    def _is_in_place(self) -> bool:
        """False when another process has removed the database, which then has no name any more, and may have made it anew."""
        try:
            return self._path.stat().st_ino == self._inode
        except FileNotFoundError:
            return False

    def _drop(self) -> None:
        """Remove the database, unless another process was sooner."""
        if self._connection is None or self._is_in_place():
            for suffix in ("", "-wal", "-shm"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        self.close()

    def _heal(self) -> None:
        """Bring rows and files in step again after processes were killed or files were lost."""
        self._files.remove_parts(self._clock() - _OLDEST_PART_S)
        with self._transaction() as rows:
            there = set(self._files.digests())
            known = {digest for (digest,) in rows.execute("SELECT digest FROM blob")}
            wanted = {digest for (digest,) in rows.execute("SELECT digest FROM entry")}
            for digest in (there | known) - (there & wanted):
                self._remove(rows, digest)
            self._prune(rows)

    def _prune(self, rows: sqlite3.Connection, replaced: Iterable[tuple[str]] = ()) -> None:
        # Every put waits for this, and all other processes with it: nothing but the sizes is read from end to end.
        now_s = self._clock()
        expired = rows.execute("SELECT digest FROM entry WHERE expires_s <= ?", (now_s,)).fetchall()
        for table in ("entry", "origin", "lease"):
            rows.execute(f"DELETE FROM {table} WHERE expires_s <= ?", (now_s,))
        for (digest,) in {*replaced, *expired}:
            if rows.execute("SELECT 1 FROM entry WHERE digest = ?", (digest,)).fetchone() is None:
                self._remove(rows, digest)
        for digest in self._surplus(rows):
            self._remove(rows, digest)

    def _surplus(self, rows: sqlite3.Connection) -> list[str]:
        surplus: list[str] = []
        (total,) = rows.execute("SELECT sum(size) FROM blob").fetchone()
        for digest, size in rows.execute("SELECT digest, size FROM blob ORDER BY used"):
            if total <= self._max_bytes:
                break
            surplus.append(digest)
            total -= size
        return surplus

    def _remove(self, rows: sqlite3.Connection, digest: str) -> None:
        rows.execute("DELETE FROM blob WHERE digest = ?", (digest,))
        self._files.remove(digest)


def is_broken(error: Exception) -> bool:
    """Whether the database's own file is damaged, and not only locked, full or out of reach."""
    # The low byte is what went wrong, the rest says where.
    return isinstance(error, sqlite3.DatabaseError) and getattr(error, "sqlite_errorcode", 0) & 0xFF in _BROKEN


def _connect(path: Path, timeout_s: float) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=timeout_s, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # A power cut may lose the last transactions, which a cache can afford; it never breaks the database.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        checked = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if checked != "ok":
            error = sqlite3.DatabaseError(checked)
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error
        connection.executescript(_SCHEMA)
    except sqlite3.Error:
        connection.close()
        raise
    return connection
