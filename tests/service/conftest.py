from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.serving import CountedManifold
from tests.service.stores import Place, Reader


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def manifold(models: Path) -> CountedManifold:
    return CountedManifold.load(models / "tiny" / "1" / "manifold.safetensors")


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
