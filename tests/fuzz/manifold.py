"""Fuzzes the reader of manifold files: ``python -m tests.fuzz.manifold [--inputs N] [--seed N] [--only NUMBER] [--failures FOLDER]``.

Never a crash, a hang, another exception than ManifoldRefused, or memory beyond twice the file's size. What fails is saved, with its replay.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from typing import IO

from tests.deployment.files import ROOT
from tests.fuzz.mutations import corpus, damaged

SECONDS_TO_HANG = 120
"""Reading takes milliseconds; this is far from any judgement of speed."""
SECONDS_TO_START = 300
EXACT = {"MALLOC_MMAP_THRESHOLD_": "65536"}
"""Environment in which the allocator gives memory back at once, so that the peak is what is in use (mallopt(3))."""


class Fuzzer:
    """Runs readers until all numbers are done; one that dies or hangs is replaced, and goes on after what it fell over."""

    def __init__(self, seed: int, failures: Path) -> None:
        self._seed = seed
        self._failures = failures
        self.outcomes: Counter[str] = Counter()
        self.failed: list[int] = []

    def run(self, start: int, stop: int) -> None:
        """Read the files of these numbers."""
        while start < stop:
            start = self._run_one_process(start, stop)

    def _run_one_process(self, start: int, stop: int) -> int:
        command = [sys.executable, "-m", "tests.fuzz.reader", str(start), str(stop), str(self._seed)]
        lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        number, patience = None, SECONDS_TO_START
        with subprocess.Popen(command, cwd=ROOT, env=os.environ | EXACT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            forwarding = threading.Thread(target=_forward, args=(process.stdout, lines))
            forwarding.start()
            try:
                while line := lines.get(timeout=patience):
                    if number is None:
                        number, patience = int(line), SECONDS_TO_HANG
                    else:
                        self._note(number, line)
                        number = None
                        start += 1
            except queue.Empty:
                process.kill()
            forwarding.join()
        code = process.returncode
        if number is None and code:
            raise RuntimeError(f"the reader did not start or ended between two files, with code {code}")
        if number is not None:
            self._note(number, json.dumps({"ended": "hung" if code == -9 else f"code {code}"}))
            start = number + 1
        return start

    def _note(self, number: int, outcome: str) -> None:
        if outcome in ("read", "refused"):
            self.outcomes[outcome] += 1
        else:
            self.failed.append(number)
            self.outcomes["failed"] += 1
            self._save(number, outcome)
        done = self.outcomes.total()
        if done % 5000 == 0:
            print(f"{done:,}: {dict(self.outcomes)}", flush=True)  # noqa: T201

    def _save(self, number: int, outcome: str) -> None:
        self._failures.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            data = damaged(corpus(Path(folder)), number, self._seed)
        name = f"{self._seed}-{number}"
        (self._failures / f"{name}.safetensors").write_bytes(data)
        replay = f"python -m tests.fuzz.manifold --seed {self._seed} --only {number}"
        (self._failures / f"{name}.txt").write_text(f"{replay}\n\n{outcome}\n")


def _forward(stream: IO[str], lines: queue.SimpleQueue[str]) -> None:
    for line in stream:
        lines.put(line.strip())
    lines.put("")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--inputs", type=int, default=100_000, help="damaged files (100,000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="read the file of this number alone")
    parser.add_argument("--failures", type=Path, default=Path("fuzz-failures"), help="folder for files that fail")
    options = parser.parse_args()
    fuzzer = Fuzzer(options.seed, options.failures)
    start, stop = (0, options.inputs) if options.only is None else (options.only, options.only + 1)
    fuzzer.run(start, stop)
    print(f"{fuzzer.outcomes.total():,} damaged files, seed {options.seed}: {dict(fuzzer.outcomes)}")  # noqa: T201
    if fuzzer.failed:
        sys.exit(f"Failed: {fuzzer.failed[:20]}; files and replays are in {options.failures}.")


if __name__ == "__main__":
    main()
