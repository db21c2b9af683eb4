"""What a cached artifact of 1 MB costs, against the least that its parts can do: bare Starlette, plain FastAPI, nginx with a file.

    python benchmarks/warm.py [--seconds N] [--runs N] [--json FILE]

All servers run on loopback, one process each, and take turns under the same load (benchmarks/wrk.py). Numbers are medians over the
runs, with the lowest and highest rate; ratios are of medians. With many connections the median latency says how fairly a server shares
its time among them; that of one at a time is what an answer takes.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

from megabyte import NAME, save_megabyte
from report import Report, Row, arguments, machine
from restartable import ROOT, Restartable, answers, binary, free_port, nginx, shipped_nginx
from rivals import ETAG, PATH
from servers import Service, client, service
from wrk import Rates, Request, run_wrk

JSON_BODY = {"content-type": "application/json"}
SELECTION = '{"compression": 0}'
GET, ALONE, POST, KNOWN = "GET", "GET, one at a time", "POST", "GET, 304"
STATIC = """
worker_processes 1; pid nginx.pid; error_log stderr warn;
events { worker_connections 1024; }
http {
    access_log off; sendfile on; tcp_nopush on; open_file_cache max=16;
    client_body_temp_path a; proxy_temp_path b; fastcgi_temp_path c; uwsgi_temp_path d; scgi_temp_path e;
    server { listen 127.0.0.1:PORT; root .; }
}
"""


@dataclass(frozen=True)
class Target:
    """A server under one kind of request, and the server that it is compared with."""

    case: str
    server: str
    request: Request
    rival: str = ""


def main() -> None:
    parser = arguments(__doc__, runs=7)
    parser.add_argument("--seconds", type=int, default=5, help="length of each measurement (5)")
    options = parser.parse_args()
    if binary("wrk") is None:
        sys.exit("wrk is not installed, and nothing else makes this load (for example: apt-get install wrk, or brew install wrk).")
    report = Report(machine() | versions())
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        targets = start(stack, Path(folder))
        runs = [[run_wrk(target.request, options.seconds) for target in targets] for _ in range(options.runs)]
    title = f"Warm requests for 1 MB: {options.runs} runs of {options.seconds} s, 16 connections or one, one thread of load"
    report.add(title, rows(list(zip(targets, zip(*runs, strict=True), strict=True))))
    report.save(options.json)


def start(stack: ExitStack, folder: Path) -> list[Target]:
    """Start all servers; gives what to measure, with everything warm."""
    save_megabyte(folder / "models")
    served = stack.enter_context(service(models=folder / "models", quiet=True))
    answer = served.client.post(f"/v1/models/{NAME}/materialize", content=SELECTION, headers=JSON_BODY).raise_for_status()
    base, path = served.url, answer.headers["content-location"]
    known = {"if-none-match": answer.headers["etag"]}
    (folder / "blob").write_bytes(answer.content)
    bare, plain = (rival(stack, kind, folder / "blob") for kind in ("starlette", "fastapi"))
    targets = [
        Target(GET, "Starlette", Request(bare)),
        Target(GET, "service", Request(f"{base}{path}"), "Starlette"),
        Target(ALONE, "Starlette", Request(bare, connections=1)),
        Target(ALONE, "service", Request(f"{base}{path}", connections=1), "Starlette"),
        Target(KNOWN, "Starlette", Request(bare, headers={"if-none-match": ETAG})),
        Target(KNOWN, "service", Request(f"{base}{path}", headers=known), "Starlette"),
        Target(POST, "FastAPI", Request(plain, "POST", SELECTION, JSON_BODY)),
        Target(POST, "service", Request(f"{base}/v1/models/{NAME}/materialize", "POST", SELECTION, JSON_BODY), "FastAPI"),
    ]
    if binary("nginx") is None:
        print("nginx is not installed, so its rows are left out (for example: apt-get install nginx, or brew install nginx).")
        return targets
    return targets + behind_nginx(stack, folder, served, path, known)


def rival(stack: ExitStack, kind: str, file: Path) -> str:
    """Start one of benchmarks/rivals.py; gives the URL of its bytes."""
    port = free_port()
    command = [sys.executable, str(ROOT / "benchmarks" / "rivals.py"), kind, str(file), str(port)]
    server = stack.enter_context(Restartable(kind, port, command, is_ready=partial(answers, path=PATH)))
    server.wait_until_ready()
    return f"{server.url}{PATH}"


def behind_nginx(stack: ExitStack, folder: Path, served: Service, path: str, known: dict[str, str]) -> list[Target]:
    """Start nginx with the bytes as a file, and the shipped one with its cache before the service."""
    port, place = free_port(), folder / "proxy"
    place.mkdir()
    file_server = stack.enter_context(nginx(folder, port, STATIC.replace("PORT", str(port)), "/blob"))
    static = stack.enter_context(client(file_server))
    proxy = stack.enter_context(shipped_nginx(place, [served.client.base_url.port or 0], workers=1, path=path))
    cached = stack.enter_context(client(proxy))
    assert cached.get(path).headers["cache-status"].endswith("nginx; hit")
    file, artifact = str(static.base_url.join("/blob")), str(cached.base_url.join(path))
    return [
        Target(GET, "nginx, file", Request(file)),
        Target(GET, "nginx, shipped", Request(artifact), "nginx, file"),
        Target(KNOWN, "nginx, file", Request(file, headers={"if-none-match": static.head("/blob").headers["etag"]})),
        Target(KNOWN, "nginx, shipped", Request(artifact, headers=known), "nginx, file"),
    ]


def versions() -> Row:
    """Of what answers."""
    found: Row = {name: version(name) for name in ("uvicorn", "uvloop", "httptools", "starlette", "fastapi")}
    if nginx_binary := binary("nginx"):
        said = subprocess.run([nginx_binary, "-v"], capture_output=True, text=True, check=True).stderr
        found["nginx"] = said.strip().rpartition("/")[2]
    return found


def rows(measured: list[tuple[Target, Sequence[Rates]]]) -> list[Row]:
    """One for every target, those of one case together."""
    medians = {(target.case, target.server): _median(runs) for target, runs in measured}
    found: list[Row] = []
    for target, runs in sorted(measured, key=lambda item: item[0].case):
        mine, other = medians[target.case, target.server], medians.get((target.case, target.rival))
        found.append(
            {
                "case": target.case,
                "server": target.server,
                "requests/s": mine.requests,
                "lowest": min(run.requests for run in runs),
                "highest": max(run.requests for run in runs),
                "MB/s": mine.megabytes,
                "p50 ms": mine.median,
                "p99 ms": mine.p99,
                "rival": target.rival or None,
                "rate / rival": mine.requests / other.requests if other else None,
                "p50 / rival": mine.median / other.median if other else None,
            }
        )
    return found


def _median(runs: Sequence[Rates]) -> Rates:
    columns = ([getattr(run, name) for run in runs] for name in ("requests", "megabytes", "median", "p99"))
    return Rates(*map(statistics.median, columns))


if __name__ == "__main__":
    main()
