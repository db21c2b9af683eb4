"""The app takes its collaborators as arguments, and closes them."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from neumeta_service.app import create_app
from neumeta_service.cache import Entry, MemoryCache, Origin
from neumeta_service.catalog.catalog import Catalog
from neumeta_service.engine import Engine
from neumeta_service.settings import Settings
from neumeta_service.telemetry.metrics import Metrics

from tests.service.serving import POST, CountedManifold, in_process, tier

pytestmark = pytest.mark.anyio


class Shelf:
    """A cache tier that is none of ours."""

    name = "shelf"
    leases = None

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.is_closed = False

    async def get(self, origin: Origin) -> Entry | None:
        return self.entries.get(origin.key)

    async def put(self, entry: Entry) -> None:
        self.entries[entry.origin.key] = entry

    async def discard(self, origin: Origin) -> None:
        self.entries.pop(origin.key, None)

    async def find(self, digest: str) -> Origin | None:
        return next((entry.origin for entry in self.entries.values() if entry.digest == digest), None)

    async def aclose(self) -> None:
        self.is_closed = True


async def test_a_cache_stands_behind_memory(models: Path, manifold: CountedManifold) -> None:
    shelf = Shelf()
    for expected in ("built", "shelf"):
        shelf.is_closed = False
        async with in_process(create_app(Settings(models=models), catalog=Catalog([manifold]), cache=shelf)) as client:
            assert tier(await client.post(POST, json={"compression": 0.5})) == expected
            assert tier(await client.post(POST, json={"compression": 0.5})) == "memory"
        assert shelf.is_closed


async def test_an_engine_brings_everything(models: Path, manifold: CountedManifold) -> None:
    metrics = Metrics()
    engine = Engine(Catalog([manifold]), [MemoryCache(1_000_000, metrics)], metrics)
    async with in_process(create_app(Settings(models=models), engine=engine)) as client:
        assert (await client.post(POST, json={"compression": 0.5})).status_code == 200
        assert 'outcome="built"' in (await client.get("/metrics")).text
    assert manifold.builds == 1


async def test_manifolds_are_loaded_by_the_thread_that_computes(
    models: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "logThreads", True)
    with caplog.at_level(logging.INFO, "neumeta_service.catalog.admission"):
        create_app(Settings(models=models, device="cpu"))
    assert [(record.threadName, record.getMessage()) for record in caplog.records] == [("neumeta-device_0", "tiny version 1 is served")]
