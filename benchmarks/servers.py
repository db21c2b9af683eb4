"""Real servers on free ports of the loopback interface, each a process of its own that ends with the benchmark."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "models"
SECONDS_TO_START = 60


@dataclass(frozen=True)
class Service:
    """A running service."""

    url: str
    client: httpx.Client
    process: int
    """Its process id."""


@contextmanager
def redis_server() -> Iterator[str]:
    """A Redis server; gives its URL."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = ["redis-server", "--port", str(port), "--save", "", "--dir", folder, "--maxmemory", "256mb", "--maxmemory-policy", "allkeys-lfu"]
        with running(command):
            yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def service(redis: str = "", models: Path = SHIPPED, *, quiet: bool = False, **settings: object) -> Iterator[Service]:
    """The service as its command starts it, ready; ``settings`` are further ones by name. ``quiet`` throws its log away, at its usual level."""
    port = free_port()
    given = {"host": "127.0.0.1", "port": port, "models": models, "redis_url": redis} | ({} if quiet else {"log_level": "warning"}) | settings
    environment = {f"NEUMETA_{name.upper()}": str(value) for name, value in given.items()}
    with running([sys.executable, "-m", "neumeta_service"], environment, quiet=quiet) as process, client(port, process, "/readyz") as opened:
        yield Service(f"http://127.0.0.1:{port}", opened, process.pid)


@contextmanager
def nginx(folder: Path, configuration: str, port: int, path: str) -> Iterator[httpx.Client]:
    """An nginx with this configuration, whose relative paths are in ``folder``; it listens on ``port`` and has ``path``."""
    file = folder / "nginx.conf"
    file.write_text(configuration)
    user = " user root;" if os.getuid() == 0 else ""  # Its workers have to enter the folder.
    command = [binary("nginx") or "nginx", "-p", str(folder), "-e", "stderr", "-c", str(file), "-g", f"daemon off;{user}"]
    with running(command) as process, client(port, process, path) as opened:
        yield opened


def binary(name: str) -> str | None:
    """Where a program is, also when only administrators have its folder on their path."""
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")


@contextmanager
def running(command: Sequence[str], environment: dict[str, str] | None = None, *, quiet: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended at the end."""
    errors = subprocess.DEVNULL if quiet else None
    process = subprocess.Popen(command, env=os.environ | (environment or {}), stdout=subprocess.DEVNULL, stderr=errors)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


@contextmanager
def client(port: int, process: subprocess.Popen[bytes], path: str) -> Iterator[httpx.Client]:
    """A client of a server, once it answers ``path`` without an error of its own."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=600, trust_env=False) as opened:
        end = time.monotonic() + SECONDS_TO_START
        while time.monotonic() < end and process.poll() is None:
            try:
                if not opened.get(path).is_server_error:
                    break
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        else:
            sys.exit(f"{process.args!r} did not get ready.")
        yield opened


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
