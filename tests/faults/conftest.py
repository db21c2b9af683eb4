from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from neumeta_core.manifold import Manifold

from tests.faults.proxy import FaultProxy
from tests.service.redis_server import RedisServer


@pytest.fixture(scope="session")
def honest(models: Path) -> Manifold:
    """The manifold in that folder, for what the right bytes are."""
    return Manifold.load(models / "tiny" / "1" / "manifold.safetensors")


@pytest.fixture
def fault_proxy(redis_server: RedisServer) -> Iterator[FaultProxy]:
    """In front of that Redis."""
    with FaultProxy(redis_server.port) as proxy:
        yield proxy
