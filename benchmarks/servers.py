"""A Redis and a service as most benchmarks need them: ready, and used until the benchmark ends (benchmarks/restartable.py)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import restartable
from restartable import ROOT, Log, Restartable, replica

SHIPPED = ROOT / "models"


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
    with tempfile.TemporaryDirectory() as folder, restartable.redis_server(Path(folder), "256mb") as server:
        server.wait_until_ready()
        yield server.redis_url


@contextmanager
def service(redis: str = "", models: Path = SHIPPED, *, quiet: bool = False, **settings: object) -> Iterator[Service]:
    """The service as its command starts it, ready; ``settings`` are further ones by name. ``quiet`` throws its log away, at its usual level."""
    log: Log = "dropped" if quiet else "shown"
    level = {} if quiet else {"log_level": "warning"}
    with replica("the service", redis, models, log=log, **level | settings) as running, client(running) as opened:
        yield Service(running.url, opened, running.process)


@contextmanager
def client(server: Restartable) -> Iterator[httpx.Client]:
    """A client of a server, once that is ready."""
    server.wait_until_ready()
    with httpx.Client(base_url=server.url, timeout=600, trust_env=False) as opened:
        yield opened
