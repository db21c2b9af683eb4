"""Real servers on free ports of the loopback interface: Redis, and the service in a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
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
    """Gives the URL."""
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
def service(redis: str = "", models: Path = SHIPPED, **settings: object) -> Iterator[Service]:
    """A service that is ready; ``settings`` are further ``NEUMETA_*`` variables by their names in small letters, without the prefix."""
    port = free_port()
    environment = os.environ | {
        "NEUMETA_HOST": "127.0.0.1",
        "NEUMETA_PORT": str(port),
        "NEUMETA_MODELS": str(models),
        "NEUMETA_REDIS_URL": redis,
        "NEUMETA_LOG_LEVEL": "warning",
        **{f"NEUMETA_{name.upper()}": str(value) for name, value in settings.items()},
    }
    process = subprocess.Popen([sys.executable, "-m", "neumeta_service"], env=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(base_url=url, timeout=600, trust_env=False) as client:
            wait(client, process)
            yield Service(url, client, process.pid)
    finally:
        process.terminate()
        process.wait()


def wait(client: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    """Until the service is ready; ends the benchmark when it does not get there."""
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
