"""The folder and its index: the limit, what killed processes leave, and disks that do not work."""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from neumeta_service.cache import DiskCache
from neumeta_service.cache.lease import Claim

from tests.service.cache import hammer
from tests.service.cache.backends import TTL_S, SharedFolder
from tests.service.cache.entries import entry

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[3]
KEY = entry().origin.key


@pytest.fixture
def shared(tmp_path: Path) -> SharedFolder:
    return SharedFolder(tmp_path / "not" / "there" / "yet")


@asynccontextmanager
async def opened(shared: SharedFolder, *, limit: int = 1_000_000, timeout_s: float = 60) -> AsyncIterator[DiskCache]:
    cache = shared.open(limit=limit, timeout_s=timeout_s)
    try:
        yield cache
    finally:
        await cache.aclose()


def errors(shared: SharedFolder, kind: str) -> float:
    return shared.metrics.registry.get_sample_value("neumeta_cache_errors_total", {"kind": kind}) or 0


def looked_up(shared: SharedFolder, result: str) -> float:
    return shared.metrics.registry.get_sample_value("neumeta_cache_requests_total", {"tier": "disk", "result": result}) or 0


async def kept(cache: DiskCache, *numbers: int) -> list[int]:
    return [number for number in numbers if await cache.get(entry(number).origin) is not None]


async def test_files_are_named_by_their_content(shared: SharedFolder) -> None:
    async with opened(shared) as cache:
        await cache.put(entry())
        name = entry().digest[7:]
        assert (shared.folder / "sha256" / name[:2] / name).read_bytes() == entry().data
        assert {path.name for path in shared.folder.glob("sha256/*")} == {name[:2]}, "nothing half written stays"


async def test_the_least_recently_used_goes_first_and_its_origin_stays(shared: SharedFolder) -> None:
    async with opened(shared, limit=3_000) as cache:
        for number in range(3):
            await cache.put(entry(number))
        await cache.get(entry(0).origin)
        await cache.put(entry(3))
        assert await kept(cache, 0, 1, 2, 3) == [0, 2, 3]
        assert len(shared.blobs()) == 3
        assert await cache.find(entry(1).digest) == entry(1).origin


async def test_equal_bytes_are_one_file_and_count_once(shared: SharedFolder) -> None:
    async with opened(shared, limit=2_000) as cache:
        for number in range(5):
            await cache.put(replace(entry(), origin=entry(number).origin))
        await cache.put(entry(7))
        assert await kept(cache, *range(5), 7) == [0, 1, 2, 3, 4, 7]
        assert len(shared.blobs()) == 2
        await cache.put(entry(8))
        assert await kept(cache, *range(5), 7, 8) == [7, 8], "they go together"


async def test_a_lower_limit_holds_from_the_start(shared: SharedFolder) -> None:
    async with opened(shared) as cache:
        for number in range(5):
            await cache.put(entry(number))
    async with opened(shared, limit=2_000) as cache:
        assert await kept(cache, *range(5)) == [3, 4]
    assert len(shared.blobs()) == 2


async def test_bytes_that_no_entry_has_any_more_go(shared: SharedFolder) -> None:
    newer = replace(entry(1), origin=entry().origin)
    twin = replace(newer, origin=entry(2).origin)
    async with opened(shared) as cache:
        await cache.put(entry())
        await cache.put(newer)
        assert shared.blobs() == [newer.digest[7:]]
        shared.now_s += TTL_S / 2
        await cache.put(twin)
        shared.now_s += 0.6 * TTL_S + 1
        await cache.put(entry(3))
        assert await cache.get(entry().origin) is None
        assert await cache.get(twin.origin) == twin, "the other one has expired, and the bytes are shared"
        shared.let_all_expire()
        await cache.put(entry(4))
        assert shared.blobs() == [entry(4).digest[7:]]


def fill(shared: SharedFolder, num_entries: int) -> None:
    """Rows as of entries of 1,000 bytes that were not used for the longest time."""
    with closing(sqlite3.connect(shared.index, timeout=30)) as connection, connection:
        for number in range(num_entries):
            digest = f"sha256:{number:064}"
            connection.execute("INSERT INTO blob VALUES (?, 1000, ?)", (digest, -number))
            connection.execute("INSERT INTO entry VALUES (?, ?, '{}', ?)", (f"{number}", digest, shared.now_s + TTL_S))
            connection.execute("INSERT INTO origin VALUES (?, '{}', ?)", (digest, shared.now_s + TTL_S))


class CountedInstructions(sqlite3.Connection):
    """Counts what SQLite's virtual machine does."""

    done = 0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.set_progress_handler(self._count, 1)

    @classmethod
    def _count(cls) -> None:
        cls.done += 1


async def test_a_put_reads_no_more_of_what_is_stored_than_sizes(shared: SharedFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=CountedInstructions))
    limit = 2_003_000
    async with opened(shared, limit=limit) as cache:

        async def instructions(number: int) -> int:
            before = CountedInstructions.done
            await cache.put(entry(number))
            return CountedInstructions.done - before

        await instructions(0)
        of_few = await instructions(1)
        fill(shared, 2_000)
        assert await instructions(2) < of_few + 2_000 * 5, "there is room"
        assert await instructions(3) < of_few + 2_000 * 5, "there is none"
        assert shared.execute("SELECT sum(size), min(used) FROM blob") == [(limit, -1998)]


async def test_an_index_of_an_older_version_is_kept(shared: SharedFolder) -> None:
    indexes = "SELECT name FROM sqlite_master WHERE type = 'index' AND name LIKE '%expires_s'"
    async with opened(shared) as cache:
        await cache.put(entry())
        added = shared.execute(indexes)
    for (name,) in added:
        shared.execute(f"DROP INDEX {name}")
    async with opened(shared) as cache:
        assert await cache.get(entry().origin) == entry()
        assert sorted(shared.execute(indexes)) == sorted(added) != []
        assert errors(shared, "corrupt") == errors(shared, "disk") == 0


async def test_what_killed_processes_left_is_removed(shared: SharedFolder) -> None:
    async with opened(shared) as cache:
        for number in range(3):
            await cache.put(entry(number))
    shared.blob(entry(0)).unlink()
    shared.execute("DELETE FROM entry WHERE key = ?", entry(1).origin.key)
    shared.execute("DELETE FROM blob WHERE digest = ?", entry(1).digest)
    old, young = shared.folder / "sha256" / "old.part", shared.folder / "sha256" / "young.part"
    for part in (old, young):
        part.write_bytes(b"half")
    os.utime(old, (shared.now_s - 4000, shared.now_s - 4000))
    async with opened(shared) as cache:
        await cache.find(entry().digest)
        assert (old.exists(), young.exists()) == (False, True), "the young one may still be written"
        assert shared.blobs() == [entry(2).digest[7:]]
        assert shared.execute("SELECT key FROM entry") == [(entry(2).origin.key,)]
        assert await kept(cache, 0, 1, 2) == [2]


@contextmanager
def full_disk(largest: int) -> Iterator[None]:
    """No file of this process can grow beyond ``largest`` bytes: writes fail in the middle, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("largest", [0, 3_000], ids=["index", "blob"])
async def test_a_full_disk_is_an_error_and_still_reads(shared: SharedFolder, largest: int) -> None:
    async with opened(shared) as cache:
        await cache.put(entry())
        with full_disk(largest):
            await cache.put(entry(1, 10_000))
            assert await cache.get(entry().origin) == entry()
            assert await cache.get(entry(1, 10_000).origin) is None
            assert errors(shared, "disk") >= 1
            assert await cache.leases.claim(KEY, "one", 1) in (Claim.STORED, Claim.UNKNOWN)
        assert shared.blobs() == [entry().digest[7:]], "nothing half written stays"
        assert not list(shared.folder.glob("sha256/*.part"))
        await cache.put(entry(1, 10_000))
        assert await cache.get(entry(1, 10_000).origin) == entry(1, 10_000)


async def looks_empty(cache: DiskCache) -> bool:
    await cache.put(entry())
    found = await cache.get(entry().origin), await cache.find(entry().digest)
    await cache.leases.release(KEY, "one")
    return found == (None, None) and await cache.leases.claim(KEY, "one", 1) is Claim.UNKNOWN


async def test_a_folder_that_cannot_be_is_an_error(shared: SharedFolder) -> None:
    shared.folder.parents[1].write_text("a file")
    async with opened(shared) as cache:
        assert await looks_empty(cache)
        assert errors(shared, "disk") == 6, "the start, put, get, find, release and claim"
        assert looked_up(shared, "error") == 2, "get and find"
        await cache.discard(entry().origin)
        assert (errors(shared, "disk"), looked_up(shared, "error")) == (7, 2)


async def test_an_index_that_cannot_be_is_an_error(shared: SharedFolder) -> None:
    shared.index.mkdir(parents=True)
    async with opened(shared) as cache:
        assert await looks_empty(cache)
        assert not list(shared.folder.glob("sha256/*"))
        shared.index.rmdir()
        await cache.put(entry())
        assert await cache.get(entry().origin) == entry()


async def test_a_folder_without_blobs_is_an_error(shared: SharedFolder) -> None:
    shared.folder.mkdir(parents=True)
    (shared.folder / "sha256").write_text("a file")
    async with opened(shared) as cache:
        await cache.put(entry())
        assert await cache.get(entry().origin) is None
        assert errors(shared, "disk") >= 1


async def test_an_index_that_is_locked_times_out(shared: SharedFolder) -> None:
    async with opened(shared, timeout_s=0.1) as cache:
        await cache.put(entry())
        with closing(sqlite3.connect(shared.index, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await cache.put(entry(1))
            assert errors(shared, "timeout") >= 1
            assert await cache.get(entry().origin) == entry(), "reading needs no lock"


@pytest.mark.parametrize("rubbish", [b"rubbish", b"SQLite format 3\x00" + b"\xff" * 8192], ids=["text", "pages"])
async def test_a_broken_index_is_made_anew(shared: SharedFolder, rubbish: bytes) -> None:
    async with opened(shared) as cache:
        await cache.put(entry())
    shared.index.write_bytes(rubbish)
    async with opened(shared) as cache:
        assert await cache.get(entry().origin) is None
        assert errors(shared, "corrupt") == 1
        assert shared.blobs() == []
        await cache.put(entry())
        assert await cache.get(entry().origin) == entry()


async def test_an_index_that_breaks_in_use_is_made_anew(shared: SharedFolder) -> None:
    async with opened(shared) as cache:
        for number in range(200):
            await cache.put(entry(number, 10))
    async with opened(shared) as cache:
        await cache.get(entry().origin)
        # What another process changes is read from the file again.
        shared.execute("INSERT INTO lease VALUES ('key', 'token', 0)")
        with shared.index.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(4096)
            file.write(b"\xff" * (size - 4096))
        assert await kept(cache, *range(10)) == []
        assert errors(shared, "corrupt") >= 1
        await cache.put(entry())
        assert await cache.get(entry().origin) == entry()


def lose_from_an_index(shared: SharedFolder) -> None:
    """Damage that only who changes the entry notices: one of its indexes does not have it."""
    with closing(sqlite3.connect(shared.index, isolation_level=None)) as one:
        one.execute("PRAGMA writable_schema = ON")
        rows = one.execute("SELECT * FROM sqlite_master WHERE name = 'entry_digest'").fetchall()
        one.execute("DELETE FROM sqlite_master WHERE name = 'entry_digest'")
        with closing(sqlite3.connect(shared.index, isolation_level=None)) as other:
            other.execute("UPDATE entry SET digest = ? WHERE key = ?", (entry(1).digest, KEY))
        one.executemany("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", rows)


async def test_damage_that_shows_in_use_alone_is_removed_for_all(shared: SharedFolder) -> None:
    async with opened(shared) as cache:
        for number in range(3):
            await cache.put(entry(number))
    lose_from_an_index(shared)
    async with opened(shared) as cache, opened(shared) as other:
        assert await kept(cache, 1, 2) == await kept(other, 1, 2) == [1, 2]
        await cache.put(entry())
        assert errors(shared, "corrupt") == 1
        await cache.put(entry())
        assert await cache.get(entry().origin) == await other.get(entry().origin) == entry()
        await other.put(entry(1))
        assert await kept(cache, 0, 1, 2) == [0, 1]
        assert errors(shared, "corrupt") == 1
    assert in_step(shared)


async def test_what_cannot_be_healed_at_the_start_is_healed_later(shared: SharedFolder) -> None:
    async with opened(shared) as cache:
        await cache.put(entry(0))
        await cache.put(entry(1))
    shared.execute("DELETE FROM entry WHERE key = ?", entry(1).origin.key)
    with closing(sqlite3.connect(shared.index, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        async with opened(shared, timeout_s=0.1) as cache:
            await cache.find(entry().digest)
            assert errors(shared, "timeout") >= 1
            assert len(shared.blobs()) == 2
            writer.execute("ROLLBACK")
            assert await cache.get(entry().origin) == entry()
            assert shared.blobs() == [entry().digest[7:]]


async def test_a_part_that_is_gone_when_it_is_looked_at_stops_nothing(shared: SharedFolder) -> None:
    async with opened(shared) as cache:
        await cache.put(entry(0))
        await cache.put(entry(1))
    shared.blob(entry(1)).unlink()
    # Listed, and not there: what a start sees while another one removes the same parts.
    (shared.folder / "sha256" / "gone.part").symlink_to("nowhere")
    async with opened(shared) as cache:
        assert await kept(cache, 0, 1) == [0]
        assert errors(shared, "disk") == 0
        assert shared.execute("SELECT key FROM entry") == [(KEY,)]


async def test_an_open_breaker_leaves_the_disk_alone(shared: SharedFolder) -> None:
    shared.folder.parents[1].write_text("a file")
    cache = DiskCache(shared.folder, shared.metrics, max_bytes=1, ttl_s=1)
    for number in range(7):
        await cache.get(entry(number).origin)
    assert (errors(shared, "disk"), looked_up(shared, "skipped")) == (5, 3), "the start and four look-ups failed"
    await cache.aclose()


def hammering(folder: Path, rounds: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", hammer.__spec__.name, str(folder), str(rounds)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)


def in_step(shared: SharedFolder) -> bool:
    return [f"sha256:{name}" for name in shared.blobs()] == [digest for (digest,) in shared.execute("SELECT digest FROM blob ORDER BY digest")]


async def test_two_processes_at_once(shared: SharedFolder) -> None:
    processes = [hammering(shared.folder, 5) for _ in range(2)]
    assert [process.communicate()[0] for process in processes] == [b"." * 5] * 2
    assert [process.returncode for process in processes] == [0, 0]
    assert in_step(shared)
    assert len(shared.blobs()) == 5


async def test_a_process_that_is_killed_leaves_a_folder_that_works(shared: SharedFolder) -> None:
    process = hammering(shared.folder, 1_000_000)
    assert process.stdout is not None
    process.stdout.read(3)
    process.kill()
    process.communicate()
    async with opened(shared, limit=hammer.LIMIT) as cache:
        for number in hammer.NUMBERS:
            found = await cache.get(entry(number, hammer.SIZE).origin)
            assert found is None or found == entry(number, hammer.SIZE)
        assert in_step(shared)
        assert errors(shared, "corrupt") == 0
