from __future__ import annotations

import asyncio

import anyio
import pytest
from neumeta_service.flight import Dropped, SingleFlight

pytestmark = pytest.mark.anyio


class Work:
    def __init__(self) -> None:
        self.runs = 0
        self.finished = 0
        self.gate = anyio.Event()

    async def __call__(self) -> int:
        self.runs += 1
        await self.gate.wait()
        self.finished += 1
        return self.runs


async def test_equal_keys_share_one_run_and_others_do_not() -> None:
    flights, work, other = SingleFlight[int](), Work(), Work()
    results: list[int] = []

    async def ask(key: str, what: Work) -> None:
        results.append(await flights.run(key, what))

    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(ask, "a", work)
        tasks.start_soon(ask, "b", other)
        await anyio.wait_all_tasks_blocked()
        work.gate.set()
        other.gate.set()
    assert results == [1] * 51
    assert (work.runs, other.runs) == (1, 1)


async def test_after_landing_the_work_runs_again() -> None:
    flights, work = SingleFlight[int](), Work()
    work.gate.set()
    assert [await flights.run("a", work), await flights.run("a", work)] == [1, 2]


async def test_a_failure_reaches_everybody_and_is_not_kept() -> None:
    flights, gate = SingleFlight[int](), anyio.Event()
    failures = 0

    async def fail() -> int:
        await gate.wait()
        raise LookupError

    async def ask() -> None:
        nonlocal failures
        with pytest.raises(LookupError):
            await flights.run("a", fail)
        failures += 1

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        gate.set()
    assert failures == 3
    work = Work()
    work.gate.set()
    assert await flights.run("a", work) == 1


async def test_a_cancelled_caller_leaves_the_work_running() -> None:
    flights, work = SingleFlight[int](), Work()
    results: list[int] = []

    async def stay() -> None:
        results.append(await flights.run("a", work))

    async with anyio.create_task_group() as tasks:
        with anyio.move_on_after(0.01):
            await flights.run("a", work)
        tasks.start_soon(stay)
        await anyio.wait_all_tasks_blocked()
        work.gate.set()
    assert results == [1]
    assert work.runs == 1


async def test_drain_waits_for_work_that_nobody_waits_for() -> None:
    flights, work = SingleFlight[int](), Work()
    with anyio.move_on_after(0.01):
        await flights.run("a", work)
    assert work.finished == 0
    work.gate.set()
    await flights.drain()
    assert work.finished == 1


async def test_dropped_work_is_done_anew_for_who_came_too_late_to_prevent_it() -> None:
    flights, gate, work = SingleFlight[int](), anyio.Event(), Work()
    work.gate.set()
    wanted: list[bool] = []

    async def notice_that_nobody_waits() -> int:
        wanted.append(flights.is_wanted("a"))
        await gate.wait()
        raise Dropped

    with anyio.move_on_after(0.01):
        await flights.run("a", notice_that_nobody_waits)
    assert (wanted, flights.is_wanted("a")) == ([True], False)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(flights.run, "a", work)
        await anyio.wait_all_tasks_blocked()
        assert flights.is_wanted("a")
        gate.set()
    assert work.runs == 1
    assert not flights.is_wanted("a")


class Key(str):
    """One that can be looked up a few times only: who asks for it without end would freeze the event loop, and the tests with it."""

    looks = 0

    def __hash__(self) -> int:
        self.looks += 1
        assert self.looks < 100, "it is asked for without end"
        return super().__hash__()


async def test_who_comes_when_dropped_work_has_ended_but_not_landed_has_it_done_anew() -> None:
    flights, work = SingleFlight[int](), Work()
    late: list[asyncio.Task[int]] = []

    async def drop_as_somebody_comes() -> int:
        # The first step of that caller is queued now, before what follows upon the end of this work.
        late.append(asyncio.create_task(flights.run(Key("a"), work)))
        raise Dropped

    flights.begin("a", drop_as_somebody_comes)
    await anyio.wait_all_tasks_blocked()
    late.append(asyncio.create_task(flights.run("a", work)))
    await anyio.wait_all_tasks_blocked()
    work.gate.set()
    assert [await task for task in late] == [1, 1]
    assert (work.runs, len(flights)) == (1, 0)


async def test_work_is_begun_without_waiting_and_counted() -> None:
    flights, work = SingleFlight[int](), Work()
    for key in ("a", "a", "b"):
        flights.begin(key, work)
    assert len(flights) == 2
    work.gate.set()
    await flights.drain()
    assert (work.runs, work.finished, len(flights)) == (2, 2, 0)
