"""Mixed load from many clients while Redis and a replica are killed and started again: no wrong byte, no 5xx, memory that stays.

    python benchmarks/soak.py [--seconds N] [--clients N] [--json FILE]

The shipped LeNet by two replicas, with one Redis and the shipped nginx before them, all on loopback. A replica is killed in the first quarter and
Redis in the second and third; each comes back. Exits with 1 when a byte was wrong, an answer was a 5xx other than 503 with Retry-After, a client
gave up, a server did not come back or was gone in the last quarter, or, over five minutes and more, a replica's memory in the last quarter was
above that in the second by more than a twentieth.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import httpx
import numpy as np
from latency import members
from load import MIX, Load
from memory import MEGABYTE
from report import Report, Row, arguments
from restartable import Restartable, redis_server, replica, shipped_nginx
from servers import SHIPPED

MODEL = "lenet-mnist"
POPULAR = 20
CACHE_BYTES = 16_000_000
"""Of each replica: full in the first quarter, so that growth after it is none of the cache's."""
ALLOWED_GROWTH = 1.05
SECONDS_FOR_MEMORY = 300
"""Shorter runs say nothing about memory."""
EVENTS = [
    (0.10, "kill", "replica b", "a replica down"),
    (0.15, "start", "replica b", "calm"),
    (0.30, "kill", "redis", "redis down"),
    (0.36, "start", "redis", "redis back"),
    (0.45, "phase", "", "calm"),
    (0.55, "kill", "redis", "redis down"),
    (0.61, "start", "redis", "redis back"),
    (0.70, "phase", "", "calm"),
]
"""When (share of the run), what, with which server, and what the time after it is called."""


def main() -> None:
    options = parsed()
    report = Report()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        redis = stack.enter_context(redis_server(Path(folder)))
        replicas = [stack.enter_context(replica(f"replica {name}", redis.redis_url, SHIPPED, device="cpu", cache_bytes=CACHE_BYTES)) for name in "ab"]
        before = stack.enter_context(shipped_nginx(Path(folder), [each.port for each in replicas]))
        for each in (redis, *replicas, before):
            each.wait_until_ready()
        load, memory = asyncio.run(soak(before, [redis, *replicas, before], options.seconds, options.clients))
    report.add("Requests", outcome_rows(load), f"{len(load.tally.digests):,} members")
    report.add("Milliseconds", latency_rows(load), "with all retries, as the client sees it")
    report.add("Memory, median MB by quarter", memory_rows(memory))
    report.save(options.json)
    missed = [*missed_bars(load), *gone(memory), *(grown(memory) if options.seconds >= SECONDS_FOR_MEMORY else [])]
    sys.exit(f"Missed: {'; '.join(missed)}." if missed else None)


def parsed() -> argparse.Namespace:
    parser = arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="how long the load lasts (600)")
    parser.add_argument("--clients", type=int, default=64, help="clients that ask at once (64)")
    return parser.parse_args()


async def soak(before: Restartable, servers: list[Restartable], seconds: float, clients: int) -> tuple[Load, dict[str, list[int]]]:
    """The load, and the memory of each server over time."""
    with httpx.Client(base_url=before.url, trust_env=False, timeout=60) as client:
        groups = client.get(f"/v1/models/{MODEL}").raise_for_status().json()["groups"]
        popular = members(client, MODEL, POPULAR)
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(base_url=before.url, trust_env=False, timeout=60, limits=limits) as client:
        load = Load(client, MODEL, groups, popular)
        running = asyncio.create_task(load.run(clients))
        try:
            memory = await conduct(load, servers, seconds)
        finally:
            load.stop()
            await running
    return load, memory


async def conduct(load: Load, servers: list[Restartable], seconds: float) -> dict[str, list[int]]:
    """Let the events happen, and look at the memory between them; exits when what was started does not get ready."""
    by_name = {server.name: server for server in servers}
    memory: dict[str, list[int]] = {name: [] for name in by_name}
    actions: dict[str, Callable[[Restartable], None]] = {"kill": Restartable.kill, "start": Restartable.start}
    loop, waiting = asyncio.get_running_loop(), list(EVENTS)
    returning: list[asyncio.Future[None]] = []
    begun = loop.time()
    while (share := (loop.time() - begun) / seconds) < 1:
        while waiting and waiting[0][0] <= share:
            _, what, name, load.phase = waiting.pop(0)
            if what in actions:
                await asyncio.to_thread(actions[what], by_name[name])
            if what == "start":  # Not waited for here: the events that follow would be late.
                returning.append(loop.run_in_executor(None, by_name[name].wait_until_ready))
        for each in returning:
            if each.done():
                each.result()
        for name, server in by_name.items():
            memory[name].append(server.resident())
        await asyncio.sleep(seconds / 200)
    await asyncio.gather(*returning)
    return memory


def outcome_rows(load: Load) -> list[Row]:
    counts = load.tally.outcomes
    outcomes = sorted({outcome for _, outcome in counts} | {"ok", "wrong bytes"})
    return [{"kind": kind, **{outcome: counts[kind, outcome] for outcome in outcomes}} for kind in MIX]


def latency_rows(load: Load) -> list[Row]:
    rows: list[Row] = []
    for (phase, kind), times in sorted(load.tally.milliseconds.items()):
        p50, p99 = np.percentile(times, [50, 99])
        rows.append({"phase": phase, "kind": kind, "requests": len(times), "p50": float(p50), "p99": float(p99), "worst": max(times)})
    return rows


def memory_rows(memory: dict[str, list[int]]) -> list[Row]:
    return [
        {"process": name, **{f"quarter {number + 1}": value / MEGABYTE for number, value in enumerate(quarters(sizes))}}
        for name, sizes in memory.items()
    ]


def quarters(sizes: list[int]) -> list[float]:
    """Medians, without the moments in which the process was not there."""
    step = max(1, len(sizes) // 4)
    parts = [[size for size in sizes[start : start + step] if size] for start in range(0, 4 * step, step)]
    return [statistics.median(part) if part else 0.0 for part in parts]


def missed_bars(load: Load) -> list[str]:
    failures = [f"{what} ({count} times)" for what, count in sorted(load.tally.failures().items())]
    silent = [f"no {kind} was answered" for kind in MIX if not load.tally.outcomes[kind, "ok"]]
    return failures + silent


def gone(memory: dict[str, list[int]]) -> list[str]:
    """Servers that were not there at some moment of the last quarter, when all events are over."""
    return [f"{name} was gone in the last quarter" for name, sizes in memory.items() if 0 in sizes[len(sizes) * 3 // 4 :]]


def grown(memory: dict[str, list[int]]) -> list[str]:
    found = {name: quarters(sizes) for name, sizes in memory.items() if name.startswith("replica")}
    return [f"{name} grew from {q[1] / MEGABYTE:.0f} to {q[3] / MEGABYTE:.0f} MB" for name, q in found.items() if q[3] > ALLOWED_GROWTH * q[1]]


if __name__ == "__main__":
    main()
