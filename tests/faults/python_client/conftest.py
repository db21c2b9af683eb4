"""The Python client before a real service, through a proxy that breaks what is between them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from neumeta_client import Artifact, AsyncClient, Client, Progress, Retries
from neumeta_core.manifold import Manifold

from tests.faults.python_client.pulls import AT_ONCE, Pull, bytes_of
from tests.faults.site import Site
from tests.service.serving import tiny_app


@pytest.fixture
def site(models: Path) -> Iterator[Site]:
    with Site() as site:
        site.serve(tiny_app(models))
        yield site


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture(params=["sync", pytest.param("async", marks=pytest.mark.slow)])
def pull(request: pytest.FixtureRequest, site: Site, cache: Path) -> Pull:
    """Pulls the full network once, by a client of its own that has these options."""

    async def wait_for(client: AsyncClient, progress: Progress | None) -> Artifact:
        async with client:
            return await client.pull("tiny", compression=0.0, progress=progress)

    def pull(*, progress: Progress | None = None, retries: Retries = AT_ONCE, **options: Any) -> Artifact:
        if request.param == "async":
            return asyncio.run(wait_for(AsyncClient(site.url, cache=cache, retries=retries, **options), progress))
        with Client(site.url, cache=cache, retries=retries, **options) as client:
            return client.pull("tiny", compression=0.0, progress=progress)

    return pull


@pytest.fixture(scope="session")
def truth(honest: Manifold) -> bytes:
    """What the full network's bytes are."""
    return bytes_of(honest)
