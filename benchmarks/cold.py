"""Cold requests at full width over a real socket, the share of each step, and the published procedure in the same run.

    python benchmarks/cold.py [--runs N] [--kinds KIND …] [--device cpu|cuda] [--most G] [--json FILE]

The shipped manifolds, and a whole ResNet-20 under an untrained INR of each kind. The service keeps nothing in memory and Redis is emptied
before every request, so that each one looks everywhere, builds, and stores; the first request to a model is not counted. The published
procedure makes the same network with K = 100 samples, and exports it. Both make their weights on the same device; the ONNX file is made on the
CPU on both sides. Ends with an error when an answer was not built for its request.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
from functools import partial
from pathlib import Path

import published_procedure
from families import KINDS, find_family, write_manifolds
from latency import Answer, ask, steps_of
from measure import timed
from neumeta_core.device import resolve_device
from redis import Redis
from report import Report, Row, arguments
from servers import SHIPPED, Service, redis_server, service

MODELS = {"lenet-mnist": "lenet", "resnet20-cifar10": "resnet20"}
"""Shipped -> the network of ``families``."""
GIGA = 1e9


def main() -> None:
    parser = arguments(__doc__, runs=10)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where both sides make weights (cpu)")
    parser.add_argument("--most", type=float, default=100, help="thousand millions of multiply-adds that a pass may take to be timed whole (100)")
    options = parser.parse_args()
    device = str(resolve_device(options.device))
    report = Report()
    families = {name: find_family(name) for name in ("lenet", "resnet20")}
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder)
        for name in MODELS:
            shutil.copytree(SHIPPED / name, models / name)
        networks = MODELS | dict.fromkeys(write_manifolds(families["resnet20"], options.kinds, models), "resnet20")
        with redis_server() as redis, service(redis, models, cache_bytes=0, device=device) as running:
            answers = {model: cold(running, redis, model, options.runs) for model in networks}
    most = round(options.most * GIGA)
    published = {name: published_procedure.cost_of(family, most, options.runs, device) for name, family in families.items()}
    exports = {
        name: timed(partial(published_procedure.export, family.network, family.example), options.runs).median for name, family in families.items()
    }
    totals = {name: published[name].seconds() + exports[name] for name in families}
    report.add(f"Cold requests at full width on {device}", [row(model, answers[model], totals[network]) for model, network in networks.items()])
    report.add(f"Steps of a cold request on {device}", [step for model, found in answers.items() for step in steps_of(found, model=model)])
    report.add(f"The published procedure on {device}", [procedure(name, published[name], exports[name]) for name in families])
    report.save(options.json)


def cold(running: Service, redis: str, model: str, runs: int) -> list[Answer]:
    answers = []
    for _ in range(runs + 1):
        Redis.from_url(redis).flushall()
        answers.append(ask(running.client, model, {"compression": 0}, tier="built"))
    return answers[1:]


def row(model: str, answers: list[Answer], published: float) -> Row:
    milliseconds = [answer.milliseconds for answer in answers]
    median = statistics.median(milliseconds)
    return {
        "model": model,
        "artifact kB": answers[0].size / 1e3,
        "ms median": median,
        "lowest": min(milliseconds),
        "highest": max(milliseconds),
        f"s published, K = {published_procedure.SAMPLES}": published,
        "times faster": 1e3 * published / median,
    }


def procedure(name: str, cost: published_procedure.Cost, export: float) -> Row:
    return {"network": name, "timed": f"{cost.share:.1%}", "s rows": cost.rows, "s one sample": cost.sample, "s export": export}


if __name__ == "__main__":
    main()
