from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from neumeta_core.manifold import Manifold

from tests import patched, tiny

# The same examples in every run, and none judged by the clock.
settings.register_profile("core", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60)
settings.load_profile("core")


def _saved(manifold: Manifold, folder: Path) -> Manifold:
    path = folder / "manifold.safetensors"
    manifold.save(path)
    return Manifold.load(path)


@pytest.fixture(scope="session")
def tiny_manifold(tmp_path_factory: pytest.TempPathFactory) -> Manifold:
    """Two convolutions and a Linear, read from a file; tests must not change it."""
    return _saved(tiny.tiny_manifold(), tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def patched_manifold(tmp_path_factory: pytest.TempPathFactory) -> Manifold:
    """Depthwise, transposed, concatenated, resized and patched, read from a file; tests must not change it."""
    return _saved(patched.patched_manifold(), tmp_path_factory.mktemp("patched"))


@pytest.fixture(scope="session")
def tiny_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("bytes") / "manifold.safetensors"
    tiny.tiny_manifold().save(path)
    return path.read_bytes()


@pytest.fixture(scope="session")
def patched_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("bytes") / "manifold.safetensors"
    patched.patched_manifold().save(path)
    return path.read_bytes()
