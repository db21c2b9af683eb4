"""Many cold requests at once over a real socket: for one spec, and for many; and the memory of the service meanwhile.

    python benchmarks/herd.py [--herd N] [--specs N] [--kind KIND] [--json FILE]

The shipped LeNet and a whole ResNet-20 under an untrained INR. A herd of clients asks one fresh service for the full network at the same moment:
it has to be built exactly once, which the service's own metrics tell. The same herd comes again when the network is cached: that is what
serving so many connections takes on this machine, whose cores the clients share. Then many different members are asked for at once, and a
second fresh service is asked for the same ones, one after the other. Both have answered one other request before.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
from families import KINDS, find_family, write_manifolds
from latency import Body, ask, members, path
from memory import MEGABYTE, peak_resident, start_peak
from report import Report, Row, arguments
from servers import SHIPPED, Service, redis_server, service

LENET = "lenet-mnist"
FULL: Body = {"compression": 0.0}
WARM_UP: Body = {"compression": 0.0, "precision": "fp16"}
SECONDS_FOR_A_CLIENT = 600
ALLOWED_MEMORY = 256 * MEGABYTE
"""Above idle, beside twice the artifact."""


@dataclass(frozen=True)
class Together:
    """What a fresh service did under simultaneous requests."""

    herd: float
    """Seconds until the whole herd was served."""
    again: float
    """The same for a second herd."""
    builds: int
    """Networks that were materialized for both."""
    specs: float
    """Seconds until all different members were served."""
    memory: int
    """Peak bytes of its process above idle."""


@dataclass(frozen=True)
class Alone:
    """What another fresh service did with one request at a time."""

    full: float
    """Seconds for the full network."""
    specs: float
    artifact: int
    """Bytes of the full network."""


def main() -> None:
    options = parsed()
    report = Report()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder)
        shutil.copytree(SHIPPED / LENET, models / LENET)
        for model in (LENET, *write_manifolds(find_family("resnet20"), [options.kind], models)):
            with redis_server() as redis, service(redis, models) as running:
                together = crowd(running, model, options.herd, options.specs)
            with redis_server() as redis, service(redis, models) as running:
                alone = one_by_one(running, model, options.specs)
            rows.append(row(model, together, alone))
    report.add(f"{options.herd} cold requests for one spec, {options.specs} for different ones", rows)
    report.save(options.json)
    if any(each["builds"] != 1 for each in rows):
        sys.exit("A herd for one spec was served by more than one materialization, or by none.")


def parsed() -> argparse.Namespace:
    parser = arguments(__doc__)
    parser.add_argument("--herd", type=int, default=200, help="clients that ask for one spec (200)")
    parser.add_argument("--specs", type=int, default=50, help="different specs (50)")
    parser.add_argument("--kind", choices=KINDS, default="mlp", help="INR of the ResNet-20 (mlp: the slowest, so that all requests meet)")
    return parser.parse_args()


def crowd(running: Service, model: str, herd: int, specs: int) -> Together:
    idle = start_peak(running.process)
    ask(running.client, model, WARM_UP)
    before = materializations(running.client)
    one = asyncio.run(at_once(running.url, model, [FULL] * herd))
    again = asyncio.run(at_once(running.url, model, [FULL] * herd))
    builds = materializations(running.client) - before
    many = asyncio.run(at_once(running.url, model, members(running.client, model, specs)))
    return Together(one, again, builds, many, peak_resident(running.process) - idle)


def one_by_one(running: Service, model: str, specs: int) -> Alone:
    ask(running.client, model, WARM_UP)
    full = ask(running.client, model, FULL)
    seconds = [ask(running.client, model, body).milliseconds / 1e3 for body in members(running.client, model, specs)]
    return Alone(full.milliseconds / 1e3, sum(seconds), full.size)


async def at_once(url: str, model: str, bodies: Sequence[Body]) -> float:
    """Seconds until all are answered, each over a connection of its own that is open, as that of one client who asks for one after the other is."""
    async with AsyncExitStack() as stack:
        # A client each: one with many connections looks through all of them for every request. Without TLS nothing is there to verify.
        made = (httpx.AsyncClient(base_url=url, timeout=SECONDS_FOR_A_CLIENT, trust_env=False, verify=False) for _ in bodies)
        clients = [await stack.enter_async_context(client) for client in made]
        await asyncio.gather(*(client.get("/livez") for client in clients))
        start = time.perf_counter()
        for response in await asyncio.gather(*(client.post(path(model), json=body) for client, body in zip(clients, bodies, strict=True))):
            response.raise_for_status()
        return time.perf_counter() - start


def materializations(client: httpx.Client) -> int:
    """Evaluations of an INR since the service started, by its own count."""
    found = re.search(r'neumeta_materialize_seconds_count\{stage="inr"\} (\S+)', client.get("/metrics").raise_for_status().text)
    return round(float(found[1])) if found else 0


def row(model: str, together: Together, alone: Alone) -> Row:
    return {
        "model": model,
        "ms one request": 1e3 * alone.full,
        "ms herd": 1e3 * together.herd,
        "cached herd": 1e3 * together.again,
        "herd / one": together.herd / alone.full,
        "herd / cached": together.herd / together.again,
        "builds": together.builds,
        "s specs at once": together.specs,
        "s one by one": alone.specs,
        "at once / one by one": together.specs / alone.specs,
        "peak MB above idle": together.memory / MEGABYTE,
        "allowed MB": (2 * alone.artifact + ALLOWED_MEMORY) / MEGABYTE,
    }


if __name__ == "__main__":
    main()
