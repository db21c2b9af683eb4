"""The catalog is renewed while requests are under way."""

from __future__ import annotations

import shutil
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from pathlib import Path

import anyio
import httpx
import pytest
from neumeta_core.manifold import Manifold
from neumeta_service.cache import MemoryCache
from neumeta_service.catalog.catalog import Catalog
from neumeta_service.catalog.reloads import Reloads
from neumeta_service.catalog.repository import Repository
from neumeta_service.catalog.store import Store
from neumeta_service.engine import Engine
from neumeta_service.errors import ArtifactGone, ModelNotFound, StoreUnavailable
from neumeta_service.orders import Selection
from neumeta_service.telemetry.metrics import Metrics

from tests.service.serving import JSON, POST, CountedManifold, live, tiny_app, wait_for
from tests.tiny import save_tiny

HALF = Selection(compression=0.5)


def counted(_: str, __: int, data: bytes) -> Manifold:
    return CountedManifold.from_bytes(data)


@dataclass(frozen=True)
class Serving:
    engine: Engine
    reloads: Reloads

    def manifold(self, version: int) -> CountedManifold:
        found = self.engine.catalog.manifold("tiny", version)
        assert isinstance(found, CountedManifold)
        return found

    def sample(self, metric: str, **labels: str) -> float | None:
        return self.engine.metrics.registry.get_sample_value(metric, labels)


@asynccontextmanager
async def serving(folder: Path, *, cache_bytes: int = 1_000_000) -> AsyncIterator[Serving]:
    metrics = Metrics()
    engine = Engine(Catalog(), [MemoryCache(cache_bytes, metrics)], metrics)
    reloads = Reloads(Repository(Store(str(folder)), counted), engine)
    await reloads.run()
    yield Serving(engine, reloads)
    await reloads.aclose()
    await engine.aclose()


@pytest.mark.anyio
async def test_a_request_in_flight_goes_on_with_the_manifold_that_it_holds(tmp_path: Path) -> None:
    save_tiny(tmp_path)
    async with serving(tmp_path) as at, anyio.create_task_group() as tasks:
        manifold = at.manifold(1)
        manifold.gate.clear()
        resolved, other = [await at.engine.resolve("tiny", selection) for selection in (HALF, Selection(compression=0.25))]
        delivered = []

        async def deliver() -> None:
            delivered.append(await at.engine.deliver(resolved))

        tasks.start_soon(deliver)
        await anyio.to_thread.run_sync(manifold.started.wait)
        shutil.rmtree(tmp_path / "tiny")
        assert (await at.reloads.run()).withdrawn == (("tiny", 1),)
        with pytest.raises(ModelNotFound):
            await at.engine.resolve("tiny", HALF)
        manifold.gate.set()
        assert (await at.engine.deliver(other)).tier == "built", "it was resolved before"
        with anyio.fail_after(300):
            while not delivered:
                await anyio.sleep(0.01)
        assert delivered[0].tier == "built"
        assert b'"requested":0.5' in at.engine.manifest(delivered[0].entry, manifold, 0.5)


@pytest.mark.anyio
@pytest.mark.parametrize(("cache_bytes", "is_kept"), [(1_000_000, True), (0, False)])
async def test_an_artifact_of_a_withdrawn_version_is_delivered_as_long_as_a_cache_has_it(tmp_path: Path, cache_bytes: int, is_kept: bool) -> None:
    save_tiny(tmp_path)
    async with serving(tmp_path, cache_bytes=cache_bytes) as at:
        digest = (await at.engine.deliver(await at.engine.resolve("tiny", HALF))).entry.digest
        shutil.rmtree(tmp_path / "tiny")
        await at.reloads.run()
        if is_kept:
            assert (await at.engine.find(digest)).entry.digest == digest
        else:
            with pytest.raises(ArtifactGone):
                await at.engine.find(digest)


@pytest.mark.anyio
async def test_what_was_resolved_before_is_not_mixed_up_with_a_newer_version(tmp_path: Path) -> None:
    save_tiny(tmp_path, version=1)
    async with serving(tmp_path) as at:
        before = await at.engine.resolve("tiny", HALF)
        save_tiny(tmp_path, version=2, seed=1)
        assert (await at.reloads.run()).added == (("tiny", 2),)
        after = await at.engine.resolve("tiny", HALF)
        assert (before.spec.version, after.spec.version) == (1, 2)
        assert before == await at.engine.resolve("tiny", Selection(compression=0.5, version=1))
        assert (await at.engine.deliver(before)).entry.digest != (await at.engine.deliver(after)).entry.digest


class SlowStore(Store):
    """Somewhere far away."""

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self.asked, self.gate = threading.Event(), threading.Event()

    def read(self, *path: str) -> bytes:
        self.asked.set()
        assert self.gate.wait(300)
        return super().read(*path)


@pytest.mark.anyio
async def test_builds_do_not_wait_for_a_slow_store(tmp_path: Path, manifold: CountedManifold) -> None:
    save_tiny(tmp_path, version=2)
    store, metrics = SlowStore(str(tmp_path)), Metrics()
    engine = Engine(Catalog([manifold]), [MemoryCache(0, metrics)], metrics)
    reloads = Reloads(Repository(store, counted), engine)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(reloads.run)
        await anyio.to_thread.run_sync(store.asked.wait)
        assert (await engine.deliver(await engine.resolve("tiny", HALF))).tier == "built"
        assert engine.catalog.releases == {("tiny", 1)}
        store.gate.set()
    assert engine.catalog.releases == {("tiny", 2)}
    await reloads.aclose()
    await engine.aclose()


@pytest.mark.anyio
async def test_metrics_follow(tmp_path: Path) -> None:
    save_tiny(tmp_path, version=1)
    async with serving(tmp_path) as at:
        shown = [at.sample("neumeta_model_info", name="tiny", version=version) for version in "12"]
        assert shown == [1, None]
        save_tiny(tmp_path, version=2)
        shutil.rmtree(tmp_path / "tiny" / "1")
        await at.reloads.run()
        shown = [at.sample("neumeta_model_info", name="tiny", version=version) for version in "12"]
        assert shown == [None, 1]
        (tmp_path / "tiny" / "3").mkdir()
        await at.reloads.run()
        shutil.rmtree(tmp_path)
        with pytest.raises(StoreUnavailable):
            await at.reloads.run()
        counts = {result: at.sample("neumeta_reloads_total", result=result) for result in ("ok", "refused", "failed")}
        assert counts == {"ok": 2, "refused": 1, "failed": 1}


@pytest.mark.anyio
async def test_what_is_refused_shows_until_it_is_mended(tmp_path: Path) -> None:
    save_tiny(tmp_path, version=1)
    (tmp_path / "tiny" / "2").mkdir()
    (tmp_path / "tiny" / "aliases.json").write_text("no JSON")
    async with serving(tmp_path) as at:
        assert at.sample("neumeta_models_refused") == 2
        (tmp_path / "tiny" / "2").rmdir()
        await at.reloads.run()
        assert at.sample("neumeta_models_refused") == 1
        (tmp_path / "tiny" / "aliases.json").unlink()
        await at.reloads.run()
        assert at.sample("neumeta_models_refused") == 0


class Ticks:
    """A clock that the test moves: ``sleep`` lasts until the next ``tick``, which waits until what the tick set off is done."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self._tick, self._asleep = anyio.Event(), anyio.Event()

    async def sleep(self, seconds: float) -> None:
        self.asked.append(seconds)
        self._tick = anyio.Event()
        self._asleep.set()
        await self._tick.wait()

    async def tick(self) -> None:
        await self._asleep.wait()
        self._asleep = anyio.Event()
        self._tick.set()
        await self._asleep.wait()


@pytest.mark.anyio
async def test_the_watcher_reloads_what_has_changed_and_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "models"
    save_tiny(folder, version=1)
    ticks = Ticks()
    async with serving(folder) as at, anyio.create_task_group() as tasks:
        tasks.start_soon(at.reloads.watch, 7, ticks.sleep)

        async def reloads_after(change: Callable[[], object]) -> float:
            before = at.sample("neumeta_reloads_total", result="ok") or 0
            change()
            await ticks.tick()
            return (at.sample("neumeta_reloads_total", result="ok") or 0) - before

        assert await reloads_after(lambda: None) == 0
        assert await reloads_after(lambda: save_tiny(folder, version=2)) == 1
        assert at.manifold(2)
        assert await reloads_after(lambda: None) == 0
        assert await reloads_after(lambda: folder.rename(tmp_path / "away")) == 0
        assert "looking for new versions failed: NEUMETA_MODELS cannot be read" in caplog.text
        assert at.sample("neumeta_reloads_total", result="failed") == 1
        assert len(at.engine.catalog) == 2
        (tmp_path / "away").rename(folder)
        assert await reloads_after(lambda: shutil.rmtree(folder / "tiny" / "1")) == 1
        assert at.engine.catalog.releases == {("tiny", 2)}
        assert set(ticks.asked) == {7}
        tasks.cancel_scope.cancel()


@dataclass
class Stream:
    """Requests without a pause, until it is stopped."""

    base: str
    failures: list[str] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    is_stopped: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        with httpx.Client(base_url=self.base, timeout=300) as client:
            for number in cycle(range(40)):
                if self.is_stopped.is_set():
                    return
                try:
                    self._ask(client, compression=number / 60)
                except Exception as error:
                    self.failures.append(repr(error))

    def has_seen(self, version: int) -> bool:
        return version in self.versions or bool(self.failures)

    def _ask(self, client: httpx.Client, *, compression: float) -> None:
        for selector in ({}, {"version": "stable"}):
            manifest = client.post(POST, json={"compression": compression} | selector, headers=JSON).raise_for_status().json()
            self.versions.append(manifest["version"])
        client.post(POST, json={"budget": {"params": 700}}).raise_for_status()
        client.get("/v1/models/tiny/curve").raise_for_status()
        client.get("/v1/models").raise_for_status()


def set_stable(folder: Path, version: int) -> None:
    (folder / "tiny" / "aliases.json").write_text(f'{{"stable": {version}}}')


def test_no_request_fails_while_versions_come_are_replaced_by_garbage_and_go(tmp_path: Path) -> None:
    save_tiny(tmp_path, version=1)
    set_stable(tmp_path, 1)
    with live(tiny_app(tmp_path, cache_bytes=0)) as base, httpx.Client(base_url=base, timeout=300) as client:
        stream = Stream(base)
        threads = [threading.Thread(target=stream.run) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for version in range(2, 6):
                save_tiny(tmp_path, version=version, seed=version)
                set_stable(tmp_path, version)
                (tmp_path / "tiny" / str(version - 1) / "manifold.safetensors").write_bytes(b"garbage")
                changes = client.post("/v1/admin/reload").raise_for_status().json()
                assert changes["added"] == [{"name": "tiny", "version": version}]
                assert [refused["version"] for refused in changes["refused"]] == [version - 1]
                shutil.rmtree(tmp_path / "tiny" / str(version - 1))
                changes = client.post("/v1/admin/reload").raise_for_status().json()
                assert changes == {"added": [], "withdrawn": [{"name": "tiny", "version": version - 1}], "refused": []}
                wait_for(partial(stream.has_seen, version))
        finally:
            stream.is_stopped.set()
            for thread in threads:
                thread.join()
    assert stream.failures == []
    assert set(stream.versions) == {1, 2, 3, 4, 5}
