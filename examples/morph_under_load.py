"""A network that makes itself smaller while the machine is busy, and larger again afterwards.

    python examples/morph_under_load.py [--seconds S]

Starts the service with the manifold that ships and classifies real digits, 48 at a time, through a MorphingSession. After a while
processes that only spin, two for each core, take the processor away for S seconds (5 by default); then they stop. The budget is
twice what the full network takes on this machine while it is quiet, so that it is missed only because of the load. Prints a timeline,
and how many calls there were, failed, and were right. Takes three times S, and a few seconds for the start.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnxruntime
from neumeta_client import Client, LatencyBudget, MorphingSession
from neumeta_trainer.data.mnist import read_idx
from serve_and_pull import wait_until_ready

HERE = Path(__file__).resolve().parent
MODEL = "lenet-mnist"
LADDER = (0.0, 0.25, 0.5, 0.75)
BATCH = 48
SETTLE = 30
LINE_S = 0.5
# Ends with this program, however that ends.
BUSY = (sys.executable, "-c", "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass")


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--seconds", type=positive_seconds, default=5.0, help="how long the load lasts")
    seconds = arguments.parse_args().seconds
    # Whoever ends this program ends the service too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with serving() as url, tempfile.TemporaryDirectory() as cache, Client(url, cache=cache) as client:
        options = {"sess_options": one_thread()}
        with MorphingSession(client, MODEL, ladder=LADDER[:1], options=options) as quiet:
            usual = p95(Calls(quiet).go_on(seconds / 2))
        budget = LatencyBudget(latency_ms=2 * usual)
        print(f"The full network takes {usual:.1f} ms for {BATCH} digits (95 of 100 calls); the budget is {budget.latency_ms:.1f} ms.")
        with MorphingSession(client, MODEL, ladder=LADDER, pressures=[budget], settle=SETTLE, options=options) as session:
            calls = Calls(session)
            calls.timeline("quiet", seconds / 2)
            with load():
                calls.timeline("load", seconds)
            calls.timeline("quiet", seconds)
            print(f"sizes: {' -> '.join(f'{compression:.2f}' for compression in calls.sizes)}")
            right = 100 * calls.right / (BATCH * calls.begun)
            print(f"{calls.begun} calls, {calls.failed} failed, {right:.2f} % of the digits right")


@dataclass
class Calls:
    """Classifies batch after batch of the digits that ship, and counts."""

    session: MorphingSession
    begun: int = 0
    failed: int = 0
    right: int = 0
    sizes: list[float] = field(default_factory=list)
    """Every size that was there, in order."""

    def __post_init__(self) -> None:
        images = read_idx(HERE / "data" / "mnist-test-1000-images-idx3-ubyte.gz")
        self._labels = read_idx(HERE / "data" / "mnist-test-1000-labels-idx1-ubyte.gz")
        spec = self.session.artifact.manifest.input
        self._input = spec.name
        self._digits = ((images[:, None] * np.float32(spec.scale) - np.float32(spec.mean)) / np.float32(spec.std)).astype(np.float32)

    def timeline(self, name: str, seconds: float) -> None:
        """Go on for so many seconds, with a line of print for each half of one."""
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            took = self.go_on(min(left, LINE_S))
            print(f"{name:5}  compression {self.sizes[-1]:.2f}  {len(took):4} calls  95 of 100 within {p95(took):6.1f} ms", flush=True)

    def go_on(self, seconds: float) -> list[float]:
        """Milliseconds of each call of the next seconds, at least one."""
        end, took = time.perf_counter() + seconds, []
        while not took or time.perf_counter() < end:
            took.append(self._classify())
        return took

    def _classify(self) -> float:
        chosen = np.arange(BATCH * self.begun, BATCH * (self.begun + 1)) % len(self._digits)
        if self.sizes[-1:] != [self.session.compression]:
            self.sizes.append(self.session.compression)
        self.begun += 1
        start = time.perf_counter()
        try:
            (logits,) = self.session.run(None, {self._input: self._digits[chosen]})
            self.right += int((logits.argmax(axis=1) == self._labels[chosen]).sum())
        except Exception as error:
            self.failed += 1
            print(f"a call failed: {error}")
        return 1000 * (time.perf_counter() - start)


def positive_seconds(text: str) -> float:
    """A time that something can happen in."""
    seconds = float(text)
    if not 0 < seconds < 1e6:
        raise ValueError
    return seconds


def p95(milliseconds: list[float]) -> float:
    """The time that 95 of 100 calls take at most."""
    return float(np.percentile(milliseconds, 95))


def one_thread() -> onnxruntime.SessionOptions:
    """Options of a session that takes one core, as beside other work."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return options


@contextlib.contextmanager
def load() -> Iterator[None]:
    """Other processes that want the processor, two for each core."""
    others = [subprocess.Popen(BUSY, start_new_session=True) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        yield
    finally:
        for other in others:
            other.kill()
        for other in others:
            other.wait()


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """The URL of a service of its own, on a free port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    os.environ["no_proxy"] = f"127.0.0.1,{os.environ.get('no_proxy', '')}"
    own = {"NEUMETA_HOST": "127.0.0.1", "NEUMETA_PORT": str(port), "NEUMETA_MODELS": str(HERE.parent / "models"), "NEUMETA_LOG_LEVEL": "warning"}
    service = subprocess.Popen([sys.executable, "-m", "neumeta_service"], env={**os.environ, **own}, start_new_session=True)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", service)
        yield f"http://127.0.0.1:{port}"
    finally:
        service.terminate()
        service.wait(timeout=30)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
