from __future__ import annotations

import os
import time
from typing import IO

import pytest

from neumeta_client import Artifact, Cache, Client, InvalidRequest
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
    # The manifest went with its artifact.
    assert len(list(cache.glob("refs/*/*.json"))) == 3
    assert not middle.path.exists()


@pytest.mark.usefixtures("pulled")
def test_what_was_just_pulled_stays_however_large(call, service, cache):
    artifact = call(url=service.url, cache=cache, cache_limit=0).pull("lenet-mnist", compression=0.4)
    assert names(cache) == {artifact.digest[7:]}


@pytest.mark.usefixtures("pulled")
def test_a_hit_collects_nothing(call, service, cache):
    assert call(url=service.url, cache=cache, cache_limit=0).pull("lenet-mnist", compression=0.3).from_cache
    assert len(names(cache)) == 3


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


def test_an_empty_cache_is_one(cache):
    assert (Cache(cache).entries(), Cache(cache).collect(0)) == ((), ())


@pytest.mark.parametrize("limit", [-1, 1.5, True, "much"])
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
