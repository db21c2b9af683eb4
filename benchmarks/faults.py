"""What a Redis that is gone costs: the time it adds to cold requests, and how soon after its return answers are as fast as before.

    python benchmarks/faults.py [--runs N] [--json FILE]

The shipped LeNet by a service whose memory keeps nothing, so that every answer depends on Redis. Redis is killed (connections are refused) or
stopped (it accepts them and says nothing), while clients ask for members that nobody has; then it comes back, and one client asks for the same
member until Redis has it. Exits with 1 when a median misses its bar.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
from latency import Body, ask, members, path
from measure import Timing
from report import Report, Row, arguments
from restartable import Restartable, redis_server, replica
from servers import SHIPPED

MODEL = "lenet-mnist"
REQUESTS = 200
"""Cold requests of each measurement; a hundredth of them may take longer than the p99."""
CLIENTS = 4
ADDED_P99_MS = 300
BACK_S = 10
LONGEST_RETURN_S = 60


@dataclass(frozen=True)
class Outage:
    """A way to be gone, and the way back."""

    begin: Callable[[Restartable], None]
    end: Callable[[Restartable], None]


OUTAGES = {
    "killed": Outage(Restartable.kill, Restartable.start),
    "stopped": Outage(lambda redis: redis.signal(signal.SIGSTOP), lambda redis: redis.signal(signal.SIGCONT)),
}


@dataclass(frozen=True)
class Figures:
    """Of one run."""

    plain_p99: float
    """Milliseconds of cold requests with Redis."""
    gone_p99: float
    """Milliseconds without."""
    back: float
    """Seconds from its return until an answer comes from it."""


def main() -> None:
    options = arguments(__doc__, runs=5).parse_args()
    report = Report()
    rows = [row(name, [measured(outage) for _ in range(options.runs)]) for name, outage in OUTAGES.items()]
    report.add(f"Redis gone and back: medians of {options.runs} runs, lowest to highest", rows)
    report.save(options.json)
    if any(each["bar missed"] for each in rows):
        sys.exit(f"A bar was missed: {ADDED_P99_MS} ms of added p99, {BACK_S} s to cached speed.")


def measured(outage: Outage) -> Figures:
    """With servers of its own, so that no run finds the members of another."""
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server(Path(stack.enter_context(tempfile.TemporaryDirectory()))))
        service = stack.enter_context(replica("service", redis.redis_url, SHIPPED, device="cpu", cache_bytes=0, log_level="error"))
        redis.wait_until_ready()
        service.wait_until_ready()
        client = stack.enter_context(httpx.Client(base_url=service.url, trust_env=False, timeout=600))
        bodies = members(client, MODEL, 3 * REQUESTS + 1)
        probe = bodies.pop()
        ask(client, MODEL, probe)
        asyncio.run(p99(service.url, bodies[:REQUESTS]))  # The service's first requests are its slowest, and would stand for those with Redis.
        plain = asyncio.run(p99(service.url, bodies[REQUESTS : 2 * REQUESTS]))
        outage.begin(redis)
        try:
            gone = asyncio.run(p99(service.url, bodies[2 * REQUESTS :]))
        finally:
            outage.end(redis)
        return Figures(plain, gone, seconds_to_return(client, probe))


async def p99(url: str, bodies: list[Body]) -> float:
    """Milliseconds, of members asked for by a few clients at once."""
    waiting, times = list(bodies), []
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=600) as client:

        async def one_client() -> None:
            while waiting:
                body, start = waiting.pop(), time.perf_counter()
                (await client.post(path(MODEL), json=body)).raise_for_status()
                times.append(1e3 * (time.perf_counter() - start))

        await asyncio.gather(*(one_client() for _ in range(CLIENTS)))
    return float(np.percentile(times, 99))


def seconds_to_return(client: httpx.Client, body: Body) -> float:
    start = time.perf_counter()
    while (elapsed := time.perf_counter() - start) < LONGEST_RETURN_S:
        answer = client.post(path(MODEL), json=body).raise_for_status()
        if answer.headers["cache-status"].endswith("detail=redis"):
            break
        time.sleep(0.05)
    return elapsed


def row(name: str, runs: list[Figures]) -> Row:
    added, back = Timing.of([run.gone_p99 - run.plain_p99 for run in runs]), Timing.of([run.back for run in runs])
    missed = [what for what, is_missed in (("p99", added.median > ADDED_P99_MS), ("return", back.median > BACK_S)) if is_missed]
    return {
        "redis": name,
        "ms cold p99": Timing.of([run.plain_p99 for run in runs]).median,
        "ms p99 without": Timing.of([run.gone_p99 for run in runs]).median,
        "added": added.median,
        "added, spread": f"{added.lowest:.0f} to {added.highest:.0f}",
        "s to return": back.median,
        "return, spread": f"{back.lowest:.1f} to {back.highest:.1f}",
        "bar missed": ", ".join(missed) or None,
    }


if __name__ == "__main__":
    main()
