"""Many cold requests at once over a real socket: for one spec, and for many; and the memory of the service meanwhile.

    python benchmarks/herd.py [--runs N] [--herd N] [--specs N] [--kind KIND] [--json FILE]

The shipped LeNet and a whole ResNet-20 under an untrained INR. A herd of clients asks one fresh service for the full network at the same moment:
it has to be built exactly once, which the service's own metrics tell. The same herd comes again when the network is cached: that is what
serving so many connections takes on this machine, whose cores the clients share. Then many different members are asked for at once, and a
second fresh service is asked for the same ones, one after the other. Both have answered one other request before, and both are asked by the
same clients and timed by the same clock (benchmarks/crowd.py). Every run starts services of its own; times and ratios
are medians over the runs, builds those of each run, memory is the highest of all. Ends with 1 when a bar is missed.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
from crowd import seconds_for
from families import KINDS, find_family, write_manifolds
from latency import WARM_UP, Body, ask, members
from measure import Timing
from memory import MEGABYTE, peak_resident, start_peak
from report import Report, Row, arguments
from servers import SHIPPED, Service, redis_server, service

LENET = "lenet-mnist"
FULL: Body = {"compression": 0.0}
ALLOWED_MEMORY = 256 * MEGABYTE
"""Above idle, beside twice the artifact."""


@dataclass(frozen=True)
class AtOnce:
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
class OneByOne:
    """What another fresh service did for one client."""

    full: float
    """Seconds for the full network, which was not there before."""
    specs: float
    """Seconds for all different members, one after the other."""
    artifact: int
    """Bytes of the full network."""


Run = tuple[AtOnce, OneByOne]


def main() -> None:
    options = parsed()
    report = Report()
    measured: dict[str, list[Run]] = {}
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder)
        shutil.copytree(SHIPPED / LENET, models / LENET)
        for model in (LENET, *write_manifolds(find_family("resnet20"), [options.kind], models)):
            measured[model] = [run(models, model, options.herd, options.specs) for _ in range(options.runs)]
    times = f"medians of {options.runs} runs, lowest to highest"
    report.add(f"{options.herd} cold requests for one spec at once: {times}", [herd_row(model, runs) for model, runs in measured.items()])
    report.add(f"{options.specs} cold requests for different specs: {times}", [specs_row(model, runs) for model, runs in measured.items()])
    report.save(options.json)
    if missed := [f"{model}: {bar}" for model, runs in measured.items() for bar in missed_bars(runs)]:
        sys.exit("\n".join(missed))


def parsed() -> argparse.Namespace:
    parser = arguments(__doc__, runs=3)
    parser.add_argument("--herd", type=int, default=200, help="clients that ask for one spec (200)")
    parser.add_argument("--specs", type=int, default=50, help="different specs (50)")
    parser.add_argument("--kind", choices=KINDS, default="mlp", help="INR of the ResNet-20 (mlp: the slowest, so that all requests meet)")
    return parser.parse_args()


def run(models: Path, model: str, herd: int, specs: int) -> Run:
    with redis_server() as redis, service(redis, models) as running:
        together = at_once(running, model, herd, specs)
    with redis_server() as redis, service(redis, models) as running:
        return together, one_by_one(running, model, specs)


def at_once(running: Service, model: str, herd: int, specs: int) -> AtOnce:
    idle = start_peak(running.process)
    ask(running.client, model, WARM_UP)
    before = materializations(running.client)
    one = seconds_for(running.url, model, [FULL] * herd, clients=herd)
    again = seconds_for(running.url, model, [FULL] * herd, clients=herd)
    builds = materializations(running.client) - before
    many = seconds_for(running.url, model, members(running.client, model, specs), clients=specs)
    return AtOnce(one, again, builds, many, peak_resident(running.process) - idle)


def one_by_one(running: Service, model: str, specs: int) -> OneByOne:
    ask(running.client, model, WARM_UP)
    full = seconds_for(running.url, model, [FULL], clients=1)
    many = seconds_for(running.url, model, members(running.client, model, specs), clients=1)
    return OneByOne(full, many, ask(running.client, model, FULL, tier="memory").size)


def materializations(client: httpx.Client) -> int:
    """Evaluations of an INR since the service started, by its own count."""
    found = re.search(r'neumeta_materialize_seconds_count\{stage="inr"\} (\S+)', client.get("/metrics").raise_for_status().text)
    return round(float(found[1])) if found else 0


def allowed(runs: Sequence[Run]) -> float:
    """Bytes that the service may take above idle."""
    return 2 * runs[0][1].artifact + ALLOWED_MEMORY


def missed_bars(runs: Sequence[Run]) -> list[str]:
    """What is wrong with a model's runs, in sentences."""
    builds, peak = [together.builds for together, _ in runs], max(together.memory for together, _ in runs)
    missed = []
    if any(each != 1 for each in builds):
        missed.append(f"A herd for one spec was served by {builds} materializations, not by one in every run.")
    if peak > allowed(runs):
        missed.append(f"The service took {peak / MEGABYTE:.0f} MB above idle, more than the {allowed(runs) / MEGABYTE:.0f} allowed.")
    return missed


def herd_row(model: str, runs: Sequence[Run]) -> Row:
    one, herd, again = (
        Timing.of([1e3 * each for each in seconds])
        for seconds in zip(*((alone.full, together.herd, together.again) for together, alone in runs), strict=True)
    )
    return {
        "model": model,
        "ms one request": one.median,
        "one, spread": one.spread,
        "ms herd": herd.median,
        "herd, spread": herd.spread,
        "ms cached herd": again.median,
        "cached, spread": again.spread,
        "herd / one": statistics.median(together.herd / alone.full for together, alone in runs),
        "herd / cached": statistics.median(together.herd / together.again for together, _ in runs),
        "builds": ", ".join(str(together.builds) for together, _ in runs),
        "peak MB above idle": max(together.memory for together, _ in runs) / MEGABYTE,
        "allowed MB": allowed(runs) / MEGABYTE,
    }


def specs_row(model: str, runs: Sequence[Run]) -> Row:
    together, alone = Timing.of([each.specs for each, _ in runs]), Timing.of([each.specs for _, each in runs])
    ratio = Timing.of([each.specs / other.specs for each, other in runs])
    return {
        "model": model,
        "s at once": together.median,
        "at once, spread": together.spread,
        "s one by one": alone.median,
        "one by one, spread": alone.spread,
        "at once / one by one": ratio.median,
        "ratio, spread": ratio.spread,
    }


if __name__ == "__main__":
    main()
