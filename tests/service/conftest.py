from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.redis_server import RedisServer
from tests.service.serving import CountedManifold
from tests.service.stores import Place, Reader
from tests.tiny import save_tiny


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with the tiny manifold; nobody writes to it."""
    folder = tmp_path_factory.mktemp("models")
    save_tiny(folder)
    return folder


@pytest.fixture
def manifold(models: Path) -> CountedManifold:
    return CountedManifold.load(models / "tiny" / "1" / "manifold.safetensors")


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture(params=["path", "file", "memory", "remote"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    folder = tmp_path / "store"
    written = str(folder) if request.param in ("path", "file") else f"memory:/{folder}"
    made = Place(written, tmp_path / "scratch")
    made.location = {"file": f"file://{folder}", "remote": f"remote:/{folder}"}.get(request.param, written)
    yield made
    if written.startswith("memory:"):
        made.remove_all()


@pytest.fixture
def reader(place: Place) -> Reader:
    return Reader(place)
