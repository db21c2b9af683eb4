"""The Python client: what its import costs, and a pull that the cache answers, with and without a signature to verify.

    python benchmarks/client.py [--runs N] [--json FILE]

Interpreters are started in turn, bare and with the import, with all bytecode made before, as an installer makes it; what a bare one takes is
subtracted. Pulls are of a LeNet from a service in a process of its own, and of one that signs. The requests of a pull are the service's own count:
for the latest version it is asked which one that is, for a version by its number it is not asked.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from measure import Timing
from memory import MEGABYTE
from neumeta_client import Client
from neumeta_core.signing.bundle import Chain
from neumeta_core.signing.certificate import certify
from neumeta_core.signing.keys import public_of, write_key
from neumeta_core.signing.payload import Kind
from report import Report, Row, arguments
from servers import service

MODEL = "lenet-mnist"
PULLS = 200
"""Of each run; a hundredth of all may take longer than the p99."""
IMPORTS = {
    "neumeta_client": "import neumeta_client",
    "the same, and httpx, which the first request loads": "import neumeta_client, httpx",
    "httpx alone": "import httpx",
}
BARS = {"import ms": 150.0, "import MB": 25.0, "pull ms": 3.0}
RESIDENT = "\nprint(open('/proc/self/status').read())"
LARGEST = 8
"""Packages that the table of imports lists."""


@dataclass(frozen=True)
class Start:
    """Of an interpreter that runs one line."""

    seconds: float
    resident: int


def main() -> None:
    options = arguments(__doc__, runs=5).parse_args()
    report = Report()
    with tempfile.TemporaryDirectory() as folder:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | {"PYTHONPYCACHEPREFIX": folder}
        report.add(f"Import over a bare interpreter, {3 * options.runs} starts of each", imports(3 * options.runs, environment))
        report.add("Milliseconds of the import by package, as -X importtime tells, which slows it", shares(environment))
    with tempfile.TemporaryDirectory() as folder:
        rows = [*pulls("plain", {}, None, options.runs), *pulls("signed", *signing(Path(folder)), options.runs)]
    report.add(f"Pulls of {MODEL} from the cache, {options.runs} runs of {PULLS}", rows)
    report.save(options.json)


def imports(runs: int, environment: Mapping[str, str]) -> list[Row]:
    lines = {"": "pass"} | IMPORTS
    rounds = [{name: start(line, environment) for name, line in lines.items()} for _ in range(runs + 1)][1:]
    return [import_row(name, [each[""] for each in rounds], [each[name] for each in rounds]) for name in IMPORTS]


def start(line: str, environment: Mapping[str, str]) -> Start:
    begin = time.perf_counter()
    printed = subprocess.run([sys.executable, "-c", line + RESIDENT], env=environment, check=True, capture_output=True, text=True).stdout
    seconds = time.perf_counter() - begin
    found = re.search(r"^VmRSS:\s+(\d+) kB$", printed, re.MULTILINE)
    return Start(seconds, 1024 * int(found[1]) if found else 0)


def import_row(name: str, bare: list[Start], loaded: list[Start]) -> Row:
    timing = Timing.of([1e3 * (with_it.seconds - without.seconds) for without, with_it in zip(bare, loaded, strict=True)])
    memory = Timing.of([(with_it.resident - without.resident) / MEGABYTE for without, with_it in zip(bare, loaded, strict=True)])
    is_ours = name == "neumeta_client"
    return {
        "import": name,
        "ms median": timing.median,
        "lowest": timing.lowest,
        "highest": timing.highest,
        "MB": memory.median,
        "bar ms": BARS["import ms"] if is_ours else None,
        "bar MB": BARS["import MB"] if is_ours else None,
    }


def shares(environment: Mapping[str, str]) -> list[Row]:
    """Self times, the largest first; packages that a bare interpreter loads as well are left out."""
    bare, loaded = (self_times(line, environment) for line in ("pass", IMPORTS["neumeta_client"]))
    packages: Counter[str] = Counter()
    for name in loaded.keys() - bare.keys():
        packages[name.partition(".")[0]] += loaded[name]
    rest = packages.total() - sum(count for _, count in packages.most_common(LARGEST))
    return [{"package": name, "ms": count / 1e3} for name, count in [*packages.most_common(LARGEST), ("all others", rest)]]


def self_times(line: str, environment: Mapping[str, str]) -> dict[str, int]:
    """Microseconds of each module."""
    command = [sys.executable, "-X", "importtime", "-c", line]
    told = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stderr
    return {name: int(own) for own, name in re.findall(r"^import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)$", told, re.MULTILINE)}


def signing(folder: Path) -> tuple[dict[str, Any], str]:
    """Settings of a service that signs, and the key that clients trust."""
    root, online, now = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate(), int(time.time())
    write_key(folder / "online.pem", online)
    certificate = certify(public_of(online), Kind.MANIFEST, root, not_before=now, not_after=now + 86_400)
    (folder / "online.cert").write_text(Chain(certificates=(certificate,)).json_text())
    return {"signing_key": folder / "online.pem", "signing_certificate": folder / "online.cert"}, public_of(root)


def pulls(manifests: str, settings: Mapping[str, Any], trust_root: str | None, runs: int) -> list[Row]:
    rows: list[Row] = []
    with service(**settings) as running, tempfile.TemporaryDirectory() as cache, Client(running.url, cache=cache, trust_root=trust_root) as client:
        for version in (None, 1):
            client.pull(MODEL, compression=0.5, version=version)
            before = requests(running.client)
            timed = [[pull(client, version) for _ in range(PULLS)] for _ in range(runs)]
            asked = (requests(running.client) - before) / (runs * PULLS)
            row: Row = {"manifests": manifests, "version": version or "latest", "requests": asked}
            rows.append(row | pull_figures(timed))
    return rows


def requests(client: httpx.Client) -> float:
    """Requests that a service has answered, but for those for this count, by its own count."""
    told = client.get("/metrics").raise_for_status().text
    counts = re.findall(r'^neumeta_requests_total\{operation="(?!get_metrics")\w+",.*\} (\S+)$', told, re.MULTILINE)
    return sum(map(float, counts))


def pull(client: Client, version: int | None) -> float:
    """Milliseconds; exits when the cache did not answer."""
    begin = time.perf_counter()
    artifact = client.pull(MODEL, compression=0.5, version=version)
    elapsed = time.perf_counter() - begin
    if artifact.stale or not artifact.from_cache:
        sys.exit("A pull was not answered by the service and the cache.")
    return 1e3 * elapsed


def pull_figures(timed: list[list[float]]) -> Row:
    medians = Timing.of([float(np.median(run)) for run in timed])
    p99 = float(np.percentile(np.concatenate(timed), 99))
    return {"ms median": medians.median, "lowest": medians.lowest, "highest": medians.highest, "p99": p99, "bar ms": BARS["pull ms"]}


if __name__ == "__main__":
    main()
