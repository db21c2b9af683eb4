"""The data plane without HTTP."""

from __future__ import annotations

import hashlib
from pathlib import Path

import anyio
import pytest
from neumeta_core.assembly import assemble
from neumeta_core.budget import Budget
from neumeta_core.configuration import Configuration
from neumeta_core.errors import AssemblyError, InvalidField, ManifoldRefused
from neumeta_core.manifold import Manifold
from neumeta_core.spec import Spec
from neumeta_service.cache import DiskCache, Entry, MemoryCache, Origin
from neumeta_service.catalog.catalog import Catalog, Refusal
from neumeta_service.engine import Delivery, Engine
from neumeta_service.errors import ArtifactGone, ModelNotFound, VersionNotFound
from neumeta_service.orders import Order, Selection
from neumeta_service.telemetry.metrics import Metrics
from torch import Tensor

from tests.service.serving import CountedManifold, wait_for

pytestmark = pytest.mark.anyio


def engine_of(*manifolds: CountedManifold, cache_bytes: int = 1_000_000) -> Engine:
    metrics = Metrics()
    return Engine(Catalog(manifolds, [Refusal("broken", 2, "it is truncated.")]), [MemoryCache(cache_bytes, metrics)], metrics)


async def test_delivers_what_core_makes(manifold: CountedManifold) -> None:
    engine = engine_of(manifold)
    for precision in ("fp32", "fp16"):
        origin = await engine.resolve("tiny", Selection(widths={"conv1": 5, "conv2": 7}, precision=precision))
        delivery = await engine.deliver(origin)
        member = manifold.configure(widths={"conv1": 5, "conv2": 7})
        expected = assemble(manifold, member, manifold.materialize(member), precision)
        assert (delivery.entry.data, delivery.entry.digest) == (expected.data, expected.digest)
        assert delivery.entry.digest == f"sha256:{hashlib.sha256(delivery.entry.data).hexdigest()}"
    await engine.aclose()


async def test_fifty_equal_requests_are_one_build(manifold: CountedManifold) -> None:
    engine = engine_of(manifold)
    manifold.gate.clear()
    deliveries: list[Delivery] = []

    async def ask() -> None:
        # 0.5 and 0.5000001 round to the same integers.
        deliveries.append(await engine.deliver(await engine.resolve("tiny", Selection(compression=0.5 + 1e-7 * (len(deliveries) % 2)))))

    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(ask)
        await anyio.to_thread.run_sync(manifold.started.wait)
        assert engine.metrics.registry.get_sample_value("neumeta_queue_depth") == 1
        manifold.gate.set()
    assert len(deliveries) == 50
    assert len({delivery.entry.digest for delivery in deliveries}) == 1
    assert manifold.builds == 1
    await engine.aclose()


async def test_fifty_different_requests_at_once_get_the_bytes_that_each_gets_alone(manifold: CountedManifold, models: Path) -> None:
    members = [{"conv1": 2 + number % 7, "conv2": 3 + number // 7} for number in range(50)]
    digests: dict[int, str] = {}
    engine = engine_of(manifold)

    async def ask(number: int) -> None:
        digests[number] = (await engine.deliver(await engine.resolve("tiny", Selection(widths=members[number])))).entry.digest

    async with anyio.create_task_group() as tasks:
        for number in range(50):
            tasks.start_soon(ask, number)
    await engine.aclose()
    assert manifold.builds == len(set(digests.values())) == 50
    for number, widths in enumerate(members):
        alone = Manifold.load(models / "tiny" / "1" / "manifold.safetensors")
        member = alone.configure(widths=widths)
        assert assemble(alone, member, alone.materialize(member)).digest == digests[number]


async def test_builds_run_in_one_worker_thread(manifold: CountedManifold) -> None:
    engine = engine_of(manifold)
    async with anyio.create_task_group() as tasks:
        for compression in (0, 0.25, 0.5, 0.75):
            tasks.start_soon(engine.deliver, await engine.resolve("tiny", Selection(compression=compression)))
    assert manifold.builds == 4
    assert manifold.threads == {"neumeta-device_0"}
    await engine.aclose()


async def test_a_cancelled_request_does_not_cancel_the_build(manifold: CountedManifold) -> None:
    engine = engine_of(manifold)
    manifold.gate.clear()
    origin = await engine.resolve("tiny", Selection(compression=0.5))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(engine.deliver, origin)
        await anyio.to_thread.run_sync(manifold.started.wait)
        tasks.cancel_scope.cancel()
    manifold.gate.set()
    assert (await engine.deliver(origin)).entry.data
    assert (await engine.deliver(origin)).tier == "memory"
    assert manifold.builds == 1
    await engine.aclose()


async def test_closing_waits_for_builds(manifold: CountedManifold) -> None:
    engine = engine_of(manifold)
    manifold.gate.clear()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(engine.deliver, await engine.resolve("tiny", Selection(compression=0.5)))
        await anyio.to_thread.run_sync(manifold.started.wait)
        tasks.cancel_scope.cancel()
    manifold.gate.set()
    await engine.aclose()
    assert engine.metrics.registry.get_sample_value("neumeta_artifact_bytes_count") == 1


async def test_an_evicted_artifact_is_made_again(manifold: CountedManifold) -> None:
    engine = engine_of(manifold, cache_bytes=0)
    made = await engine.deliver(await engine.resolve("tiny", Selection(compression=0.5)))
    again = await engine.find(made.entry.digest)
    assert again.entry == made.entry
    assert again.tier == "built"
    assert manifold.builds == 2
    await engine.aclose()


class Changed(CountedManifold):
    """Makes other bytes than those that its digest stands for: what another machine's last bit would do."""

    changed = False

    def materialize(self, member: Configuration) -> dict[str, Tensor]:
        weights = super().materialize(member)
        return {name: values * (1 + 1e-6) for name, values in weights.items()} if self.changed else weights


async def test_other_bytes_are_gone_and_never_mixed(models: Path) -> None:
    manifold = Changed.load(models / "tiny" / "1" / "manifold.safetensors")
    engine = engine_of(manifold, cache_bytes=0)
    made = await engine.deliver(await engine.resolve("tiny", Selection(compression=0.5)))
    manifold.changed = True
    with pytest.raises(ArtifactGone, match="POST /v1/models/tiny/materialize"):
        await engine.find(made.entry.digest)
    await engine.aclose()


@pytest.mark.parametrize("digest", [f"sha256:{'0' * 64}", "sha256:0", "", "../../etc/passwd", f"sha256:{'A' * 64}", f"sha512:{'0' * 64}"])
async def test_an_unknown_digest_is_gone(manifold: CountedManifold, digest: str) -> None:
    engine = engine_of(manifold)
    with pytest.raises(ArtifactGone):
        await engine.find(digest)
    assert manifold.builds == 0
    await engine.aclose()


async def test_what_another_manifold_made_is_gone_unless_a_cache_has_it(manifold: CountedManifold) -> None:
    engine = engine_of(manifold)
    other = Spec("tiny", 1, f"sha256:{'e' * 64}", Configuration((("conv1", 4), ("conv2", 6))), "fp32")
    wrong = Spec("tiny", 1, manifold.digest, Configuration((("conv1", 4), ("conv9", 6))), "fp32")
    for number, spec in enumerate((other, wrong)):
        cache = MemoryCache(0, engine.metrics)
        digest, origin = f"sha256:{number:064}", Origin(spec.cache_key(manifold.fingerprint), spec)
        await cache.put(Entry(origin, digest, "x.onnx", b"x"))
        with pytest.raises(ArtifactGone):
            await Engine(engine.catalog, [cache], engine.metrics).find(digest)
        cache = MemoryCache(10, engine.metrics)
        await cache.put(Entry(origin, digest, "x.onnx", b"x"))
        assert (await Engine(engine.catalog, [cache], engine.metrics).find(digest)).entry.data == b"x"
    await engine.aclose()


async def test_what_was_made_in_another_way_is_served_while_a_cache_has_it_and_never_made_again(manifold: CountedManifold) -> None:
    """With another PyTorch, builder or number of threads: it would come out different, each time that it is asked for."""
    metrics = Metrics()
    memory, behind = MemoryCache(0, metrics), MemoryCache(10, metrics)
    engine = Engine(Catalog([manifold]), [memory, behind], metrics)
    spec, digest = Spec.of(manifold, manifold.configure(0.5), "fp32"), f"sha256:{'a' * 64}"
    origin = Origin(spec.cache_key("cpu-fp32-k1-torch1.0"), spec)
    await behind.put(Entry(origin, digest, "x.onnx", b"x"))
    assert [(await engine.find(digest)).entry.data for _ in range(2)] == [b"x"] * 2
    await behind.discard(origin)
    for _ in range(3):
        with pytest.raises(ArtifactGone):
            await engine.find(digest)
    assert manifold.builds == 0
    await engine.aclose()


async def test_what_cannot_be_built_here_takes_no_lease_from_those_who_can_build_it(manifold: CountedManifold, tmp_path: Path) -> None:
    metrics = Metrics()
    shared = DiskCache(tmp_path, metrics, max_bytes=1_000_000, ttl_s=1000, timeout_s=60)
    engine = Engine(Catalog([manifold]), [MemoryCache(0, metrics), shared], metrics)
    spec = Spec.of(manifold, manifold.configure(0.5), "fp32")
    withdrawn = Order(spec.cache_key(manifold.fingerprint), spec, None)
    made_in_another_way = Order(spec.cache_key("cpu-fp32-k1-torch1.0"), spec, manifold)
    await shared.leases.claim(made_in_another_way.key, "another replica", 0.1)
    for order in (withdrawn, made_in_another_way):
        with pytest.raises(VersionNotFound):
            await engine.deliver(order)
    results = ("won", "waited", "took_over", "skipped")
    assert [metrics.registry.get_sample_value("neumeta_leases_total", {"result": result}) for result in results] == [None] * 4
    await engine.aclose()


class Broken(CountedManifold):
    def materialize(self, member: Configuration) -> dict[str, Tensor]:
        weights = super().materialize(member)
        if member["conv1"] == 8:
            raise RuntimeError("out of memory")
        return {name: values * float("nan") for name, values in weights.items()} if member["conv1"] == 4 else weights


async def test_a_failed_build_is_an_error_and_the_next_one_works(models: Path, caplog: pytest.LogCaptureFixture) -> None:
    engine = engine_of(Broken.load(models / "tiny" / "1" / "manifold.safetensors"))
    for compression, reason in ((0, "out of memory"), (0.5, "not finite")):
        with pytest.raises(AssemblyError, match=reason):
            await engine.deliver(await engine.resolve("tiny", Selection(compression=compression)))
        assert reason in caplog.text
    assert (await engine.deliver(await engine.resolve("tiny", Selection(compression=0.75)))).tier == "built"
    await engine.aclose()


async def test_a_slower_cache_fills_the_faster_one(manifold: CountedManifold) -> None:
    metrics = Metrics()
    fast, slow = MemoryCache(1_000_000, metrics), MemoryCache(1_000_000, metrics)
    slow.name = "slow"
    engine = Engine(Catalog([manifold]), [fast, slow], metrics)
    origin = await engine.resolve("tiny", Selection(compression=0.5))
    await engine.deliver(origin)
    await fast.aclose()
    assert [(await engine.deliver(origin)).tier for _ in range(2)] == ["slow", "memory"]
    await fast.aclose()
    entry = await slow.get(origin)
    assert entry is not None
    assert [(await engine.find(entry.digest)).tier for _ in range(2)] == ["slow", "memory"]
    assert manifold.builds == 1
    await engine.aclose()


async def test_a_budget_gives_the_largest_member_that_fits(manifold: CountedManifold) -> None:
    engine = engine_of(manifold)
    delivery = await engine.deliver(await engine.resolve("tiny", Selection(budget=Budget(bytes=4000))))
    assert 3000 < len(delivery.entry.data) <= 4000
    await engine.aclose()


async def test_selections_that_cannot_be(manifold: CountedManifold) -> None:
    engine = engine_of(manifold)
    with pytest.raises(ModelNotFound, match="'nobody'"):
        await engine.resolve("nobody", Selection(compression=0.5))
    for version in (2, "2", "stable"):
        with pytest.raises(VersionNotFound, match=f"no version '{version}' of 'tiny'"):
            await engine.resolve("tiny", Selection(compression=0.5, version=version))
    with pytest.raises(ManifoldRefused, match=r"broken version 2 .* truncated"):
        await engine.resolve("broken", Selection(compression=0.5))
    with pytest.raises(InvalidField, match=r"compression: 0\.8 .* 0\.75"):
        await engine.resolve("tiny", Selection(compression=0.8))
    await engine.aclose()


async def test_an_uncached_build_is_seen_by_the_metrics(manifold: CountedManifold) -> None:
    engine = engine_of(manifold)
    delivery = await engine.deliver(await engine.resolve("tiny", Selection(compression=0.5)))
    assert delivery.seconds.keys() == {"cache", "queue", "inr", "onnx"}
    sample = engine.metrics.registry.get_sample_value
    wait_for(lambda: sample("neumeta_queue_depth") == 0)
    assert sample("neumeta_materialize_seconds_count", {"stage": "inr"}) == 1
    assert sample("neumeta_artifact_bytes_sum") == len(delivery.entry.data)
    await engine.aclose()
