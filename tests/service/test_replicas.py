"""Replicas that share a cache: one of them builds, whatever happens to it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import httpx
import pytest
from neumeta_core.configuration import Configuration
from torch import Tensor

from tests.service.redis_server import RedisServer
from tests.service.serving import POST, CountedManifold, in_process, tier, tiny_app

pytestmark = pytest.mark.anyio
HALF = {"compression": 0.5}
ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["cache_dir", "redis_url"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """The setting that makes replicas share a cache."""
    place = str(tmp_path / "cache") if request.param == "cache_dir" else request.getfixturevalue("redis_server").url
    return {request.param: place}


class Replica:
    """An app of its own, with a manifold of its own."""

    def __init__(self, client: httpx.AsyncClient, manifold: CountedManifold) -> None:
        self.client = client
        self.manifold = manifold
        self.answers: list[httpx.Response] = []

    async def ask(self) -> None:
        self.answers.append(await self.client.post(POST, json=HALF))

    async def leases(self) -> dict[str, float]:
        lines = (await self.client.get("/metrics")).text.splitlines()
        rows = [line.removeprefix('neumeta_leases_total{result="') for line in lines if line.startswith("neumeta_leases_total{")]
        return {row.partition('"')[0]: float(row.rpartition(" ")[2]) for row in rows}


class BrokenManifold(CountedManifold):
    """Fails in the middle of a build."""

    def materialize(self, member: Configuration) -> dict[str, Tensor]:
        super().materialize(member)
        raise RuntimeError("out of memory")


@pytest.fixture
async def replicas(models: Path, shared: dict[str, str]) -> AsyncIterator[list[Replica]]:
    manifolds = [CountedManifold.load(models / "tiny" / "1" / "manifold.safetensors") for _ in range(2)]
    async with (
        in_process(tiny_app(models, manifolds[0], **shared)) as one,
        in_process(tiny_app(models, manifolds[1], **shared)) as two,
    ):
        yield [Replica(one, manifolds[0]), Replica(two, manifolds[1])]


async def started(*replicas: Replica) -> None:
    while not any(replica.manifold.started.is_set() for replica in replicas):
        await anyio.sleep(0.01)


async def test_many_requests_at_two_replicas_are_one_build(replicas: list[Replica], shared: dict[str, str]) -> None:
    for replica in replicas:
        replica.manifold.gate.clear()
    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            for replica in replicas:
                tasks.start_soon(replica.ask)
        await started(*replicas)
        # Time for the other one to do wrong.
        await anyio.sleep(0.5)
        for replica in replicas:
            replica.manifold.gate.set()
    answers = [answer for replica in replicas for answer in replica.answers]
    assert [answer.status_code for answer in answers] == [200] * 40
    assert len({answer.content for answer in answers}) == 1
    assert sum(replica.manifold.builds for replica in replicas) == 1
    builder, waiter = sorted(replicas, key=lambda replica: -replica.manifold.builds)
    assert (await builder.leases(), await waiter.leases()) == ({"won": 1}, {"waited": 1})
    assert {tier(answer) for answer in builder.answers} == {"built"}
    assert {tier(answer) for answer in waiter.answers} == {"disk" if "cache_dir" in shared else "redis"}
    assert "lease;dur=" in waiter.answers[0].headers["server-timing"]


async def test_the_replica_that_builds_is_killed(models: Path, shared: dict[str, str], manifold: CountedManifold) -> None:
    command = [sys.executable, "-m", "tests.service.held_replica", str(models), *next(iter(shared.items()))]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"builds\n"
        async with in_process(tiny_app(models, manifold, **shared)) as client:
            replica = Replica(client, manifold)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(replica.ask)
                # Longer than the lease is given for: it is renewed.
                await anyio.sleep(2)
                assert manifold.builds == 0, "it waits"
                process.kill()
            assert [(answer.status_code, tier(answer)) for answer in replica.answers] == [(200, "built")]
            assert manifold.builds == 1
            assert await replica.leases() == {"took_over": 1}


async def test_a_failed_build_does_not_hold_the_lease(models: Path, shared: dict[str, str], manifold: CountedManifold) -> None:
    broken = BrokenManifold.load(models / "tiny" / "1" / "manifold.safetensors")
    async with in_process(tiny_app(models, broken, **shared)) as one, in_process(tiny_app(models, manifold, **shared)) as two:
        assert (await one.post(POST, json=HALF)).status_code == 500
        assert tier(await two.post(POST, json=HALF)) == "built"
        assert await Replica(two, manifold).leases() == {"won": 1}


async def test_a_client_that_goes_away_leaves_the_build_to_the_others(replicas: list[Replica]) -> None:
    one, two = replicas
    one.manifold.gate.clear()
    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as client_of_one:

            async def give_up() -> None:
                await started(one)
                client_of_one.cancel()

            tasks.start_soon(give_up)
            await one.ask()
        tasks.start_soon(two.ask)
        await anyio.sleep(0.3)
        one.manifold.gate.set()
    assert (len(one.answers), [answer.status_code for answer in two.answers]) == (0, [200])
    assert (one.manifold.builds, two.manifold.builds) == (1, 0)


async def test_redis_dies_while_another_replica_waits(models: Path, redis_server: RedisServer) -> None:
    manifolds = [CountedManifold.load(models / "tiny" / "1" / "manifold.safetensors") for _ in range(2)]
    apps = [tiny_app(models, manifold, redis_url=redis_server.url) for manifold in manifolds]
    manifolds[0].gate.clear()
    async with in_process(apps[0]) as one, in_process(apps[1]) as two, anyio.create_task_group() as tasks:
        replicas = [Replica(one, manifolds[0]), Replica(two, manifolds[1])]
        tasks.start_soon(replicas[0].ask)
        await started(replicas[0])
        tasks.start_soon(replicas[1].ask)
        await anyio.sleep(0.3)
        assert manifolds[1].builds == 0, "it waits"
        redis_server.kill()
        await started(replicas[1])
        manifolds[0].gate.set()
    for replica in replicas:
        assert [(answer.status_code, tier(answer)) for answer in replica.answers] == [(200, "built")]
