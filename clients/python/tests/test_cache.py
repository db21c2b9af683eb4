from __future__ import annotations

import errno
import json
import os
import time
from typing import IO, BinaryIO

import pytest

from neumeta_client import Artifact, Cache, CacheError, Client, InvalidRequest
from neumeta_client._local.cache import _digest
from neumeta_client._local.collection import CacheEntry, entries_of
from neumeta_client._local.lock import try_lock

SIZE = 262_144
"""Bytes of every artifact of the fake service."""


def age_by(artifact: Artifact, seconds: float) -> None:
    os.utime(artifact.path, (time.time() - seconds, artifact.path.stat().st_mtime))


@pytest.fixture
def pulled(client):
    """Three artifacts, pulled in this order at times that are known."""
    artifacts = [client.pull("lenet-mnist", compression=compression) for compression in (0.1, 0.2, 0.3)]
    for age, artifact in zip((300, 200, 100), artifacts):
        age_by(artifact, age)
    return artifacts


def names(cache) -> set[str]:
    return {path.stem for path in cache.rglob("*.onnx")}


def test_what_was_used_least_recently_goes_first(service, cache, pulled):
    oldest, middle, newest = pulled
    with Client(service.url, cache=cache, cache_limit=3 * SIZE) as client:
        client.pull("lenet-mnist", compression=0.1)
        age_by(oldest, 300)
        # Used without being read: it was verified a moment ago.
        client.pull("lenet-mnist", compression=0.1)
        fourth = client.pull("lenet-mnist", compression=0.4)
    assert names(cache) == {artifact.digest[7:] for artifact in (oldest, newest, fourth)}
    # Its manifests, of the latest version and of this one, went with the artifact.
    assert len(list(cache.glob("refs/*/*.json"))) == 6
    assert not middle.path.exists()


@pytest.mark.usefixtures("pulled")
def test_what_was_just_pulled_stays_however_large(call, service, cache):
    artifact = call(url=service.url, cache=cache, cache_limit=0).pull("lenet-mnist", compression=0.4)
    assert names(cache) == {artifact.digest[7:]}


def test_what_another_client_has_just_pulled_stays_too(call, service, cache):
    first, second = (call(url=service.url, cache=cache, cache_limit=0).pull("lenet-mnist", compression=compression) for compression in (0.1, 0.2))
    assert names(cache) == {artifact.digest[7:] for artifact in (first, second)}
    for age, artifact in ((100, first), (0, second)):
        age_by(artifact, age)
    third = call(url=service.url, cache=cache, cache_limit=0).pull("lenet-mnist", compression=0.3)
    assert names(cache) == {artifact.digest[7:] for artifact in (second, third)}


def test_a_time_to_come_protects_nothing_for_ever(call, service, cache):
    """It was written while the clock was wrong."""
    client = call(url=service.url, cache=cache, cache_limit=0)
    age_by(client.pull("lenet-mnist", compression=0.1), -86400)
    last = client.pull("lenet-mnist", compression=0.2)
    assert names(cache) == {last.digest[7:]}


def test_a_slow_download_is_used_from_its_end_on(client, service, cache):
    manifest = client.manifest("lenet-mnist", compression=0.9)
    with Cache(cache).download(manifest) as download:
        assert download.lock()
        download.write(service.make({"compression": 0.9, "precision": "fp32"}))
        (part,) = cache.rglob("*.part")
        os.utime(part, (0, 0))
        path = download.commit()
    assert Cache(cache).collect(0, grace_s=86400) == ()
    assert path.is_file()


@pytest.mark.usefixtures("pulled")
def test_a_hit_collects_nothing(call, service, cache):
    assert call(url=service.url, cache=cache, cache_limit=0).pull("lenet-mnist", compression=0.3).from_cache
    assert len(names(cache)) == 3


@pytest.fixture
def collected_while_verified(cache, monkeypatch):
    """The next file that is verified meets a collection of another process, down to this many bytes, before its first byte is read."""

    def prepare(limit: int) -> None:
        def verify_late(file: BinaryIO) -> str:
            monkeypatch.undo()
            Cache(cache).collect(limit)
            return _digest(file)

        monkeypatch.setattr("neumeta_client._local.cache._digest", verify_late)

    return prepare


def test_a_file_that_is_verified_is_not_the_least_recently_used(client, pulled, collected_while_verified):
    oldest, middle, newest = pulled
    collected_while_verified(2 * SIZE)
    found = client.pull("lenet-mnist", compression=0.1)
    assert (found.path, found.from_cache) == (oldest.path, True)
    assert [artifact.path.exists() for artifact in (oldest, middle, newest)] == [True, False, True]


def test_a_file_that_is_removed_while_it_is_verified_is_downloaded_again(client, service, files, collected_while_verified):
    before = client.pull("lenet-mnist", compression=0.1)
    collected_while_verified(0)
    after = client.pull("lenet-mnist", compression=0.1)
    assert (after.path, after.path.stat().st_size, after.from_cache) == (before.path, SIZE, False)
    assert service.count("artifact") == 2
    assert len(files()) == 3, "the manifests are there again too"


def test_what_is_used_after_it_was_listed_stays(client, cache, pulled, monkeypatch):
    oldest, middle, newest = pulled

    def listed(folder: os.PathLike[str]) -> list[CacheEntry]:
        monkeypatch.undo()
        entries = entries_of(folder)
        client.pull("lenet-mnist", compression=0.1)
        return entries

    monkeypatch.setattr("neumeta_client._local.collection.entries_of", listed)
    assert [entry.path for entry in Cache(cache).collect(2 * SIZE)] == [middle.path]
    assert (oldest.path.exists(), newest.path.exists()) == (True, True)


def test_a_collection_that_fails_fails_no_pull(call, service, cache, caplog):
    folder = cache / "blobs" / "sha256" / "folder.onnx"
    folder.mkdir(parents=True)
    os.utime(folder, (0, 0))
    artifact = call(url=service.url, cache=cache, cache_limit=0).pull("lenet-mnist", compression=0.4)
    assert artifact.path.stat().st_size == SIZE
    assert "not brought below its limit" in caplog.text
    with pytest.raises(CacheError, match=r"folder\.onnx"):
        Cache(cache).collect(0)


def test_entries_say_what_is_there(cache, pulled):
    entries = Cache(cache).entries()
    assert [entry.path for entry in entries] == [artifact.path for artifact in pulled]
    assert {(entry.size, entry.models, entry.is_finished) for entry in entries} == {(SIZE, ("lenet-mnist/1",), True)}
    assert [entry.digest for entry in entries] == [artifact.digest for artifact in pulled]


@pytest.mark.usefixtures("pulled")
def test_a_download_that_nobody_continued_goes(service, client, cache):
    service.on("artifact", service.cut, *[service.problem("draining", 503)] * 2)
    with pytest.raises(Exception, match="draining"):
        client.pull("lenet-mnist", compression=0.9)
    (part,) = cache.rglob("*.part")
    assert Cache(cache).collect(10**9) == ()
    os.utime(part, (0, time.time() - 8 * 86400))
    (removed,) = Cache(cache).collect(10**9)
    assert (removed.path, removed.is_finished) == (part, False)
    assert not part.exists()
    assert len(names(cache)) == 3


def test_a_forgotten_download_is_locked_as_nfs_wants_it(cache, monkeypatch):
    """There flock is a lock for writing, which only a file that is open for writing can have (flock(2))."""

    def lock_on_nfs(file: IO[bytes]) -> bool:
        if not file.writable():
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return try_lock(file)

    part = cache / "blobs" / "sha256" / "0.onnx.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x")
    os.utime(part, (0, 0))
    monkeypatch.setattr("neumeta_client._local.collection.try_lock", lock_on_nfs)
    assert [entry.path for entry in Cache(cache).collect(10**9)] == [part]


def test_a_manifest_goes_when_its_artifact_is_gone(cache, pulled):
    pulled[0].path.unlink()
    (cache / "refs" / "lenet-mnist" / "odd.json").write_text('{"digest": []}')
    assert Cache(cache).collect(10**9) == ()
    kept = {json.loads(path.read_text())["digest"] for path in cache.glob("refs/*/*.json")}
    assert kept == {artifact.digest for artifact in pulled[1:]}


def test_a_manifest_that_was_left_half_written_goes(cache, client):
    client.pull("lenet-mnist", compression=0.1)
    old, new = (cache / "refs" / "lenet-mnist" / f"{name}.json.part" for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"{")
    os.utime(old, (0, time.time() - 8 * 86400))
    Cache(cache).collect(10**9)
    assert (old.exists(), new.exists()) == (False, True)


def test_of_a_models_manifests_those_that_were_used_last_stay(client, service, cache, monkeypatch):
    service.make = lambda _: b"one for all sizes"
    for compression in (0.1, 0.2, 0.3):
        client.pull("lenet-mnist", compression=compression, version=1)
    refs = {json.loads(path.read_text())["compression"]["requested"]: path for path in cache.glob("refs/*/*.json")}
    for age, compression in ((300, 0.1), (200, 0.2), (100, 0.3)):
        os.utime(refs[compression], (time.time() - age,) * 2)
    client.pull("lenet-mnist", compression=0.1, version=1)
    monkeypatch.setattr("neumeta_client._local.refs.MOST_REFS", 2)
    assert Cache(cache).collect(10**9) == ()
    assert set(cache.glob("refs/*/*.json")) == {refs[0.1], refs[0.3]}


@pytest.mark.usefixtures("pulled")
def test_a_download_in_progress_stays(cache, client):
    manifest = client.manifest("lenet-mnist", compression=0.9)
    with Cache(cache).download(manifest) as download:
        assert download.lock()
        download.write(b"x" * 1000)
        assert len(Cache(cache).collect(0)) == 3
        assert len(list(cache.rglob("*.part"))) == 1


def test_a_download_that_is_finished_while_it_is_locked_is_not_written(cache, client, service, monkeypatch):
    manifest = client.manifest("lenet-mnist", compression=0.9)
    first, second = Cache(cache).download(manifest), Cache(cache).download(manifest)

    def lock_late(file: IO[bytes]) -> bool:
        # Between opening and locking, the one who had the lock puts the file in its place.
        monkeypatch.undo()
        first.write(service.make({"compression": 0.9, "precision": "fp32"}))
        first.commit()
        first.__exit__(None, None, None)
        return try_lock(file)

    with second:
        with first:
            assert first.lock()
            monkeypatch.setattr("neumeta_client._local.download.try_lock", lock_late)
            assert not second.lock()
        assert Cache(cache).find(manifest)
        assert second.lock()
        assert second.received == 0
    assert Cache(cache).find(manifest)
    assert list(cache.rglob("*.part")) == []


@pytest.fixture(params=["a system without locks", "a file system without locks"])
def _without_locks(request, monkeypatch):
    """Windows, or a mount that says ENOSYS."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    if request.param == "a system without locks":
        monkeypatch.setattr("neumeta_client._local.download.CAN_LOCK", False)
        for user in ("download", "collection"):
            monkeypatch.setattr(f"neumeta_client._local.{user}.try_lock", lambda _: None)
    else:
        monkeypatch.setattr("fcntl.flock", refuse)


@pytest.mark.usefixtures("_without_locks")
def test_without_locks_a_download_has_a_file_of_its_own_that_goes_with_it(client, service, cache):
    service.on("artifact", service.cut)
    wanted = service.make({"compression": 0.9, "precision": "fp32"})
    assert client.pull("lenet-mnist", compression=0.9).path.read_bytes() == wanted
    service.on("artifact", service.cut, *[service.problem("draining", 503)] * 9)
    with pytest.raises(Exception, match="draining"):
        client.pull("lenet-mnist", compression=0.8)
    assert [path for path in cache.rglob("*.part") if path.stat().st_size] == []


@pytest.mark.usefixtures("_without_locks")
def test_without_locks_a_forgotten_download_goes_by_its_age(cache):
    old, new = (cache / "blobs" / "sha256" / f"{name}.onnx.part" for name in ("0", "1"))
    old.parent.mkdir(parents=True)
    for path in (old, new):
        path.write_bytes(b"x")
    os.utime(old, (0, 0))
    assert [entry.path for entry in Cache(cache).collect(0)] == [old]
    assert (old.exists(), new.exists()) == (False, True)


def test_a_download_that_waits_for_none_is_locked_too(cache, client, monkeypatch):
    monkeypatch.setattr("neumeta_client._local.download.PATIENCE", 0)
    manifest = client.manifest("lenet-mnist", compression=0.9)
    with Cache(cache).download(manifest) as first, Cache(cache).download(manifest) as second:
        assert first.lock()
        while not second.lock():
            pass
        for download in (first, second):
            download.write(b"x" * 1000)
        assert Cache(cache).collect(0) == ()
        assert len(list(cache.rglob("*.part"))) == 2


def test_a_manifest_that_cannot_be_kept_fails_no_pull(client, cache, caplog):
    cache.mkdir()
    (cache / "refs").write_text("no folder")
    for is_there in (False, True):
        artifact = client.pull("lenet-mnist", compression=0.4)
        assert (artifact.from_cache, artifact.path.stat().st_size) == (is_there, SIZE)
    assert "was not kept" in caplog.text


def test_an_empty_cache_is_one(cache):
    assert (Cache(cache).entries(), Cache(cache).collect(0)) == ((), ())


@pytest.mark.parametrize("limit", [-1, 1.5, True, "much", "9" * 5000])
def test_a_limit_is_a_number_of_bytes(call, service, cache, limit):
    with pytest.raises(InvalidRequest, match="cache_limit"):
        call(url=service.url, cache=cache, cache_limit=limit).models()


@pytest.mark.usefixtures("pulled")
def test_the_limit_comes_from_the_environment(call, service, cache, monkeypatch):
    monkeypatch.setenv("NEUMETA_CLIENT_CACHE_LIMIT", str(SIZE))
    call(url=service.url, cache=cache).pull("lenet-mnist", compression=0.4)
    assert len(names(cache)) == 1
    monkeypatch.setenv("NEUMETA_CLIENT_CACHE_LIMIT", "much")
    with pytest.raises(InvalidRequest, match="cache_limit"):
        call(url=service.url, cache=cache).models()
