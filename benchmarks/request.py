"""Cold and cached requests of the shipped LeNet over a real socket, and the share of each step.

    python benchmarks/request.py [--runs N]

Starts a Redis server and two services on free ports. Cold requests ask for widths that were never asked for before; cached
ones repeat them, from the first service's memory, and from Redis by the second service. Times are medians over all requests in
milliseconds, with the 10th and 90th percentile and the highest; steps are the service's own Server-Timing.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import torch

ROOT = Path(__file__).resolve().parents[1]
MODEL = "lenet-mnist"
SECONDS_TO_START = 60
Sample = tuple[float, dict[str, float]]
"""Milliseconds of a request, and of the steps that the service names."""


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--runs", type=int, default=60, help="different members to ask for")
    runs = arguments.parse_args().runs
    os.environ["no_proxy"] = f"127.0.0.1,{os.environ.get('no_proxy', '')}"
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server())
        first, second = (stack.enter_context(service(redis)) for _ in range(2))
        bodies = [{"widths": widths} for widths in members(first, runs)]
        cold, memory = ask(first, bodies), ask(first, bodies)
        shared = ask(second, bodies)
    print(f"{MODEL}, {runs} members, {os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__}, {floor():.0f} GFLOP/s in fp32")
    show("cold (built)", cold)
    show("cached (memory)", memory)
    show("cached (Redis, other replica)", shared)


def members(client: httpx.Client, count: int) -> list[dict[str, int]]:
    """Distinct random members of the family."""
    groups = client.get(f"/v1/models/{MODEL}").raise_for_status().json()["groups"]
    draw = random.Random(0)
    found: dict[tuple[int, ...], dict[str, int]] = {}
    while len(found) < count:
        widths = {group["name"]: draw.randint(group["minimum"], group["full"]) for group in groups}
        found[tuple(widths.values())] = widths
    return list(found.values())


def ask(client: httpx.Client, bodies: list[dict[str, dict[str, int]]]) -> list[Sample]:
    """Each body once, one after the other."""
    samples = []
    for body in bodies:
        start = time.perf_counter()
        answer = client.post(f"/v1/models/{MODEL}/materialize", json=body).raise_for_status()
        milliseconds = 1000 * (time.perf_counter() - start)
        steps = {name: float(value) for name, value in re.findall(r"([\w-]+);dur=([\d.]+)", answer.headers["server-timing"])}
        samples.append((milliseconds, steps))
    return samples


def show(title: str, samples: list[Sample]) -> None:
    totals = [total for total, _ in samples]
    deciles = statistics.quantiles(totals, n=10)
    print(f"{title:31} median {statistics.median(totals):7.2f} ms   10 % {deciles[0]:7.2f}   90 % {deciles[-1]:7.2f}   highest {max(totals):7.2f}")
    shares = {name: statistics.mean(steps.get(name, 0.0) for _, steps in samples) for name in samples[0][1]}
    shares["http and the rest"] = statistics.mean(totals) - sum(shares.values())
    for name, milliseconds in shares.items():
        print(f"    {name:27} mean   {milliseconds:7.2f} ms   {milliseconds / statistics.mean(totals):4.0%}")


def floor() -> float:
    """Matrix rate of this machine in the same run, GFLOP/s."""
    a = torch.randn(1024, 1024)
    times = []
    for _ in range(7):
        start = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - start)
    return 2 * 1024**3 / statistics.median(times) / 1e9


@contextmanager
def redis_server() -> Iterator[str]:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = ["redis-server", "--port", str(port), "--save", "", "--dir", folder, "--maxmemory", "256mb", "--maxmemory-policy", "allkeys-lfu"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()
            process.wait()


@contextmanager
def service(redis: str) -> Iterator[httpx.Client]:
    port = free_port()
    environment = os.environ | {
        "NEUMETA_HOST": "127.0.0.1",
        "NEUMETA_PORT": str(port),
        "NEUMETA_MODELS": str(ROOT / "models"),
        "NEUMETA_REDIS_URL": redis,
        "NEUMETA_LOG_LEVEL": "warning",
    }
    process = subprocess.Popen([sys.executable, "-m", "neumeta_service"], env=environment)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            wait(client, process)
            yield client
    finally:
        process.terminate()
        process.wait()


def wait(client: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < end and process.poll() is None:
        try:
            if client.get("/readyz").is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    sys.exit("The service did not get ready.")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
