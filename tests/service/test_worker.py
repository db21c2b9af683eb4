"""The queue in front of the device: its limit, its order, what is dropped."""

from __future__ import annotations

import threading
from collections.abc import Callable

import anyio
import pytest
from neumeta_service.errors import Overloaded
from neumeta_service.flight import Dropped
from neumeta_service.telemetry.metrics import Metrics
from neumeta_service.worker import DeviceWorker

pytestmark = pytest.mark.anyio


class Bench:
    """A worker whose first build holds the thread until ``gate`` opens; what ran is listed."""

    def __init__(self, queue_limit: int = 64) -> None:
        self.worker = DeviceWorker(Metrics(), queue_limit=queue_limit)
        self.gate = threading.Event()
        self.ran: list[object] = []
        self.unwanted: set[object] = set()
        self.outcomes: dict[object, object] = {}

    async def build(self, name: object, function: Callable[[], object] = lambda: None) -> None:
        def work() -> None:
            self.ran.append(name)
            assert name != "first" or self.gate.wait(60)
            function()

        try:
            self.outcomes[name] = await self.worker.build(work, {}, is_wanted=lambda: name not in self.unwanted)
        except Exception as error:
            self.outcomes[name] = error

    async def start(self, tasks: anyio.abc.TaskGroup, *names: object) -> None:
        for name in names:
            tasks.start_soon(self.build, name)
        await anyio.wait_all_tasks_blocked()
        while not self.ran:
            await anyio.sleep(0.001)


async def test_builds_run_in_the_order_in_which_they_came() -> None:
    bench = Bench()
    async with anyio.create_task_group() as tasks:
        await bench.start(tasks, "first", *range(20))
        bench.gate.set()
    assert bench.ran == ["first", *range(20)]
    assert bench.worker.depth == 0


async def test_a_full_queue_refuses_and_says_when_to_come_again() -> None:
    bench = Bench(queue_limit=3)
    async with anyio.create_task_group() as tasks:
        await bench.start(tasks, "first", 1, 2, 3, 4)
        assert bench.worker.depth == 3
        bench.gate.set()
    assert bench.ran == ["first", 1, 2]
    for name in (3, 4):
        error = bench.outcomes[name]
        assert isinstance(error, Overloaded)
        assert error.retry_after_s == 1, "nothing is known about builds yet"
    async with anyio.create_task_group() as tasks:
        await bench.start(tasks, 5)
    assert bench.ran[-1] == 5, "there is room again"


async def test_the_wait_is_the_mean_of_recent_builds_for_each_in_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("neumeta_service.worker.perf_counter", lambda: now)
    bench = Bench()

    def slow() -> None:
        nonlocal now
        now += 2.5

    await bench.build("slow", slow)
    async with anyio.create_task_group() as tasks:
        await bench.start(tasks, "first", 1, 2)
        while "first" not in bench.ran:
            await anyio.sleep(0.001)
        assert bench.worker.wait_s == 8, "three builds of 2.5 s"
        bench.gate.set()


async def test_what_nobody_wants_any_more_is_dropped_before_it_starts() -> None:
    bench = Bench()
    async with anyio.create_task_group() as tasks:
        await bench.start(tasks, "first", 1, 2)
        bench.unwanted |= {"first", 1}
        bench.gate.set()
    assert bench.ran == ["first", 2]
    assert isinstance(bench.outcomes[1], Dropped)
    assert bench.outcomes["first"] is None, "what has begun is finished"


async def test_what_nobody_wants_makes_room_in_a_full_queue() -> None:
    bench = Bench(queue_limit=3)
    async with anyio.create_task_group() as tasks:
        await bench.start(tasks, "first", 1, 2)
        bench.unwanted.add(1)
        await bench.start(tasks, 3)
        while 1 not in bench.outcomes:
            await anyio.sleep(0.001)
        assert isinstance(bench.outcomes[1], Dropped), "before the thread came to it"
        await bench.start(tasks, 4)
        bench.gate.set()
    assert bench.ran == ["first", 2, 3]
    assert isinstance(bench.outcomes[4], Overloaded)


async def test_a_failure_is_the_callers_and_the_thread_goes_on() -> None:
    bench = Bench()

    def fail() -> None:
        raise LookupError

    await bench.build("failing", fail)
    await bench.build("next")
    assert isinstance(bench.outcomes["failing"], LookupError)
    assert bench.outcomes["next"] is None


async def test_loading_gets_its_turn_between_builds() -> None:
    bench = Bench(queue_limit=2)
    async with anyio.create_task_group() as tasks:
        await bench.start(tasks, "first")
        loaded = bench.worker.run(lambda: bench.ran.append("loaded"))
        await bench.start(tasks, 1)
        bench.gate.set()
    loaded.result(60)
    assert bench.ran == ["first", "loaded", 1]


async def test_the_wait_in_the_queue_is_a_stage() -> None:
    metrics, seconds = Metrics(), dict[str, float]()
    worker = DeviceWorker(metrics)
    assert await worker.build(lambda: 7, seconds, is_wanted=lambda: True) == 7
    assert seconds.keys() == {"queue"}
    assert metrics.registry.get_sample_value("neumeta_materialize_seconds_count", {"stage": "queue"}) == 1
    worker.shutdown()
