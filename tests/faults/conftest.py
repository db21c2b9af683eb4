from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from neumeta_core.manifold import Manifold

from tests.faults.proxy import FaultProxy
from tests.service.redis_server import RedisServer
from tests.tiny import save_tiny


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with the tiny manifold; nobody writes to it."""
    folder = tmp_path_factory.mktemp("models")
    save_tiny(folder)
    return folder


@pytest.fixture(scope="session")
def honest(models: Path) -> Manifold:
    """The manifold in that folder, for what the right bytes are."""
    return Manifold.load(models / "tiny" / "1" / "manifold.safetensors")


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def fault_proxy(redis_server: RedisServer) -> Iterator[FaultProxy]:
    """In front of that Redis."""
    with FaultProxy(redis_server.port) as proxy:
        yield proxy
