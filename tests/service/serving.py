"""Apps for tests: in process, or behind a real socket."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI
from neumeta_core.configuration import Configuration
from neumeta_core.manifold import Manifold
from neumeta_service.app import create_app
from neumeta_service.catalog.catalog import Catalog
from neumeta_service.http.protocol import BoundedProtocol
from neumeta_service.settings import Settings
from starlette.types import ASGIApp
from torch import Tensor

POST = "/v1/models/tiny/materialize"
JSON = {"accept": "application/json"}


class CountedManifold(Manifold):
    """A real manifold that counts its builds and can hold them back."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.builds = 0
        self.threads: set[str] = set()
        self.started = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def materialize(self, member: Configuration) -> dict[str, Tensor]:
        self.builds += 1
        self.threads.add(threading.current_thread().name)
        self.started.set()
        assert self.gate.wait(60)
        return super().materialize(member)


class HeavyManifold(CountedManifold):
    """Its weights are finite, and too large for fp16."""

    def materialize(self, member: Configuration) -> dict[str, Tensor]:
        return {name: values + 66_000 for name, values in super().materialize(member).items()}


def tiny_app(models: Path, manifold: Manifold | None = None, **settings: Any) -> FastAPI:
    """An app over ``models``, or over one manifold alone. Redis gets time: a busy machine must not look like a dead one."""
    catalog = None if manifold is None else Catalog([manifold])
    return create_app(Settings(**{"models": models, "device": "cpu", "redis_timeout_s": 30} | settings), catalog=catalog)


@asynccontextmanager
async def in_process(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


@contextmanager
def live(app: ASGIApp, **options: Any) -> Iterator[str]:
    """The app behind uvicorn on a free port, with options of uvicorn's; gives its base URL."""
    # With the protocol named, asyncio turns Nagle's algorithm off, as it does for the command.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server = uvicorn.Server(uvicorn.Config(app, **{"http": BoundedProtocol, "log_config": None, "access_log": False} | options))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            wait_for(lambda: server.started or not thread.is_alive())
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def posting(client: httpx.Client) -> socket.socket:
    """A connection over which a request was sent, and nothing read."""
    body = b'{"compression": 0.5}'
    head = f"POST {POST} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    connection = socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=60)
    connection.sendall(head.encode() + body)
    return connection


def wait_for(condition: Any) -> None:
    """Poll until ``condition()`` is true; fails after five minutes."""
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline, "waited for five minutes"
        time.sleep(0.01)


def tier(response: httpx.Response) -> str:
    """Where an artifact came from: memory, redis or built."""
    return response.headers["cache-status"].rpartition("detail=")[2]
