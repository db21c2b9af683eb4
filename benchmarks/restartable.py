"""Servers on free ports of the loopback interface that can be killed and started again while others use them; each ends with the benchmark."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import FrameType
from typing import IO, Literal

from memory import resident

ROOT = Path(__file__).resolve().parents[1]
SECONDS_TO_START = 60
SECONDS_TO_END = 20
"""Before a process is killed; the service takes 10 for requests that are under way."""
Log = Literal["shown", "dropped", "kept"]


def answers(port: int, path: str = "/readyz") -> bool:
    """Whether the server at this port answers a GET of ``path`` without an error of its own; raises where nothing listens."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        connection.request("GET", path)
        return connection.getresponse().status < HTTPStatus.INTERNAL_SERVER_ERROR


def answers_ping(port: int) -> bool:
    """Whether the Redis at this port answers PING; raises where nothing listens."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(16).startswith(b"+PONG")


@dataclass
class Restartable:
    """A command that listens on ``port``; it ends with the ``with`` block."""

    name: str
    port: int
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    is_ready: Callable[[int], bool] = answers
    log: Log = "kept"
    """Its standard error; of one that is kept, the last line is said when it does not get ready."""
    _process: subprocess.Popen[bytes] | None = None
    _kept: IO[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def redis_url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def process(self) -> int:
        """Its process id."""
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    def start(self) -> None:
        if self._kept is not None:  # What an earlier process said is no reason of this one's.
            self._kept.seek(0)
            self._kept.truncate()
        errors = self._kept or (subprocess.DEVNULL if self.log == "dropped" else None)
        self._process = subprocess.Popen(self.command, env=os.environ | dict(self.environment), stdout=subprocess.DEVNULL, stderr=errors)

    def kill(self) -> None:
        """At once, without a chance to finish anything."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def resident(self) -> int:
        """Bytes of the process and its children; 0 when it is gone."""
        if self._process is None:
            return 0
        number = self._process.pid
        children = Path(f"/proc/{number}/task/{number}/children")
        processes: list[int | str] = [number, *(children.read_text().split() if children.exists() else [])]
        return sum(resident(each) for each in processes)

    def wait_until_ready(self) -> None:
        """Until it answers; exits when it ended instead, or takes too long."""
        assert self._process is not None, f"{self.name} was not started"
        end = time.monotonic() + SECONDS_TO_START
        while (status := self._process.poll()) is None and time.monotonic() < end:
            with suppress(OSError, HTTPException):
                if self.is_ready(self.port):
                    return
            time.sleep(0.1)
        sys.exit(f"{self.name} {'did not get ready' if status is None else f'ended with {status}'}{self._last_words()}")

    def _last_words(self) -> str:
        if self._kept is None:
            return "."
        self._kept.seek(0)
        lines = self._kept.read().decode(errors="replace").strip().splitlines()
        return f": {lines[-1]}" if lines else "; it said nothing."

    def __enter__(self) -> Restartable:
        end_on_sigterm()
        if self.log == "kept":
            self._kept = tempfile.TemporaryFile()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.send_signal(signal.SIGCONT)  # One that is stopped sees no other signal.
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(SECONDS_TO_END)
            self.kill()
        if self._kept is not None:
            self._kept.close()


def end_on_sigterm() -> None:
    """Make SIGTERM an exception: without one Python runs no ``finally``, and servers, ports and folders are left behind."""
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _end)


def _end(number: int, _: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # A second one would interrupt what ends the servers.
    sys.exit(128 + number)


def redis_server(folder: Path, memory: str = "64mb") -> Restartable:
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    command += ["--maxmemory", memory, "--maxmemory-policy", "allkeys-lfu", "--logfile", "/dev/stderr"]
    return Restartable("redis", port, command, is_ready=answers_ping)


def replica(name: str, redis_url: str, models: Path, *, log: Log = "kept", **settings: object) -> Restartable:
    """The service as its command starts it; ``settings`` are further ones by name."""
    port = free_port()
    given = {"host": "127.0.0.1", "port": port, "models": models, "redis_url": redis_url} | settings
    environment = {f"NEUMETA_{variable.upper()}": str(value) for variable, value in given.items()}
    return Restartable(name, port, [sys.executable, "-m", "neumeta_service"], environment, log=log)


def nginx(folder: Path, port: int, configuration: str, path: str) -> Restartable:
    """An nginx with this configuration, whose relative paths are in ``folder``; it listens on ``port`` and has ``path``."""
    file = folder / "nginx.conf"
    file.write_text(configuration)
    user = " user root;" if os.getuid() == 0 else ""  # Its workers have to enter the folder.
    command = [binary("nginx") or sys.exit("nginx is not installed."), "-p", str(folder), "-e", "stderr", "-c", str(file)]
    return Restartable("nginx", port, [*command, "-g", f"daemon off;{user}"], is_ready=partial(answers, path=path))


def shipped_nginx(folder: Path, replicas: Sequence[int], *, workers: int = 2, path: str = "/readyz") -> Restartable:
    """The nginx of the configuration that ships, before the services at these ports of this machine."""
    port, text = free_port(), (ROOT / "docker" / "nginx" / "nginx.conf").read_text()
    [upstream] = [line for line in text.splitlines() if "server service:8080 resolve" in line]
    servers = "\n".join(upstream.replace("service:8080 resolve", f"127.0.0.1:{replica}") for replica in replicas)
    changes = {upstream: servers, "listen 8080": f"listen 127.0.0.1:{port}", "worker_processes 2": f"worker_processes {workers}"}
    for before, after in changes.items():
        assert before in text, f"docker/nginx/nginx.conf has no {before!r}"
        text = text.replace(before, after)
    return nginx(folder, port, text, path)


def binary(name: str) -> str | None:
    """Where a program is, also when only administrators have its folder on their path."""
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
