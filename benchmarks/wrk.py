"""One run of wrk: one thread, and connections each of which asks again as soon as it has its answer."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_REPORT = """
done = function(summary, latency)
  local e = summary.errors
  local failed = e.connect + e.read + e.write + e.status + e.timeout
  io.write(string.format("\\nREPORT %d %d %d %f %f %d\\n",
    summary.requests, summary.bytes, summary.duration, latency:percentile(50), latency:percentile(99), failed))
end
"""


@dataclass(frozen=True)
class Request:
    """A request that is repeated."""

    url: str
    method: str = "GET"
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    connections: int = 16


@dataclass(frozen=True)
class Rates:
    """What a run measured."""

    requests: float
    """Per second."""
    megabytes: float
    """Per second."""
    median: float
    """Milliseconds of a request."""
    p99: float


def run_wrk(request: Request, seconds: int) -> Rates:
    """Repeat a request for some seconds; exits when one failed."""
    lines = [f"wrk.method = {json.dumps(request.method)}", f"wrk.body = {json.dumps(request.body)}"]
    lines += [f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in request.headers.items()]
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "request.lua"
        script.write_text("\n".join(lines) + _REPORT)
        command = ["wrk", "-t1", f"-c{request.connections}", f"-d{seconds}s", "-s", str(script), request.url]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    [report] = [line.split()[1:] for line in output.splitlines() if line.startswith("REPORT ")]
    requests, size, microseconds, median, p99, failed = map(float, report)
    if failed or not requests:
        sys.exit(f"{request.method} {request.url}: {failed:.0f} of {requests:.0f} requests failed.\n{output}")
    return Rates(1e6 * requests / microseconds, size / microseconds, median / 1000, p99 / 1000)
