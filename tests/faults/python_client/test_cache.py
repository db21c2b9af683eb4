"""The client's cache: what is in it, or on its way to it, is not downloaded again."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from neumeta_client import Artifact, AsyncClient, Client

from tests.faults.python_client.pulls import DRIBBLE, files, sample
from tests.faults.site import Site
from tests.service.serving import CountedManifold, tiny_app, wait_for

PULL = """
import sys
from neumeta_client import Client

with Client(sys.argv[1], cache=sys.argv[2]) as client:
    artifact = client.pull("tiny", compression=0.0)
print(artifact.path.read_bytes().hex(), artifact.from_cache)
"""


def test_of_two_processes_with_a_cold_cache_one_downloads(site: Site, models: Path, cache: Path, truth: bytes) -> None:
    """Their manifests come at the same moment, the download takes a while."""
    manifold = CountedManifold.load(models / "tiny" / "1" / "manifold.safetensors")
    manifold.gate.clear()
    app = tiny_app(models, manifold)
    site.serve(app)
    site.on("artifact", DRIBBLE)
    command = [sys.executable, "-c", PULL, site.url, str(cache)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        wait_for(lambda: sample(app, "inflight") == 2)
    finally:
        manifold.gate.set()
    printed = sorted(process.communicate(timeout=300)[0] for process in processes)
    assert printed == [f"{truth.hex()} False\n", f"{truth.hex()} True\n"]
    assert site.count("artifact") == 1
    assert files(cache) == [".json", ".json", ".onnx"]  # As it was asked for, and by its version.


def pull_often(url: str, cache: Path, **wanted: Any) -> list[Artifact]:
    with Client(url, cache=cache) as client:
        return [client.pull("tiny", compression=0.0, **wanted) for _ in range(1000)]


def pull_often_at_once(url: str, cache: Path, **wanted: Any) -> list[Artifact]:
    async def pull_fifty(client: AsyncClient) -> list[Artifact]:
        return [await client.pull("tiny", compression=0.0, **wanted) for _ in range(50)]

    async def pull_all() -> list[Artifact]:
        async with AsyncClient(url, cache=cache) as client:
            return [*chain(*await asyncio.gather(*(pull_fifty(client) for _ in range(20))))]

    return asyncio.run(pull_all())


@pytest.mark.parametrize("often", [pull_often, pytest.param(pull_often_at_once, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("version", "asked"), [(1, 0), pytest.param(None, 1000, marks=pytest.mark.slow)], ids=["a version", "the latest"])
def test_a_thousand_pulls_from_a_warm_cache(
    site: Site, cache: Path, truth: bytes, often: Callable[..., list[Artifact]], version: int | None, asked: int
) -> None:
    """No download, and nobody touches the file; of a version by its number, not even a question."""
    with Client(site.url, cache=cache) as client:
        path = client.pull("tiny", compression=0.0, version=version).path
    before = path.stat()
    pulled = often(site.url, cache, version=version)
    assert {(artifact.path, artifact.from_cache, artifact.stale) for artifact in pulled} == {(path, True, False)}
    assert (len(pulled), site.count("materialize"), site.count("artifact")) == (1000, 1 + asked, 1)
    after = path.stat()
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (before.st_ino, before.st_size, before.st_mtime_ns)
    assert path.read_bytes() == truth
