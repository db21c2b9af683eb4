"""Servers that are killed and started again on the same port while others use them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from memory import resident
from servers import SECONDS_TO_START, binary, free_port


@dataclass
class Restartable:
    """A command that listens on ``port``; it ends with the ``with`` block."""

    name: str
    port: int
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        nothing = subprocess.DEVNULL
        self._process = subprocess.Popen(self.command, env=os.environ | dict(self.environment), stdout=nothing, stderr=nothing)

    def kill(self) -> None:
        """At once, without a chance to finish anything."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def resident(self) -> int:
        """Bytes of the process and its children."""
        if self._process is None:
            return 0
        number = self._process.pid
        children = Path(f"/proc/{number}/task/{number}/children")
        return sum(resident(each) for each in [number, *(children.read_text().split() if children.exists() else [])])

    def wait_until_ready(self, path: str = "/readyz") -> None:
        """Until it answers this path with 200; exits when that takes too long."""
        end = time.monotonic() + SECONDS_TO_START
        while time.monotonic() < end:
            try:
                if httpx.get(f"{self.url}{path}", trust_env=False).status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        sys.exit(f"{self.name} did not get ready.")

    def __enter__(self) -> Restartable:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()


def redis_server(folder: Path) -> Restartable:
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    return Restartable("redis", port, [*command, "--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lfu"])


def replica(name: str, redis: Restartable, models: Path, **settings: object) -> Restartable:
    """The service as its command starts it."""
    port = free_port()
    given = {"host": "127.0.0.1", "port": port, "models": models, "redis_url": f"redis://127.0.0.1:{redis.port}/0", "device": "cpu"} | settings
    environment = {f"NEUMETA_{variable.upper()}": str(value) for variable, value in given.items()}
    return Restartable(name, port, [sys.executable, "-m", "neumeta_service"], environment)


def shipped_nginx(folder: Path, replicas: Sequence[Restartable]) -> Restartable:
    """The configuration that ships, with addresses of this machine."""
    port, text = free_port(), (Path(__file__).resolve().parents[1] / "docker" / "nginx" / "nginx.conf").read_text()
    [upstream] = [line for line in text.splitlines() if "server service:8080 resolve" in line]
    servers = [upstream.replace("service:8080 resolve", f"127.0.0.1:{replica.port}") for replica in replicas]
    file = folder / "nginx.conf"
    file.write_text(text.replace(upstream, "\n".join(servers)).replace("listen 8080;", f"listen 127.0.0.1:{port};"))
    user = " user root;" if os.getuid() == 0 else ""  # Its workers have to enter the folder.
    command = [binary("nginx") or sys.exit("nginx is not installed."), "-p", str(folder), "-e", "stderr", "-c", str(file)]
    return Restartable("nginx", port, [*command, "-g", f"daemon off;{user}"])
