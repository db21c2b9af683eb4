"""A service that has no room now: the pull waits as long as it is told to, or says so."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from neumeta_client import Retries, ServiceUnavailable

from tests.faults.proxy import Fault
from tests.faults.python_client.pulls import AT_ONCE, Pull, files, sample
from tests.faults.site import Site
from tests.service.serving import CountedManifold, posting, tiny_app, wait_for

BUSY = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 0\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
STORM = Fault(change=lambda _: BUSY, cuts_after=len(BUSY))


@pytest.mark.parametrize("route", ["materialize", pytest.param("artifact", marks=pytest.mark.slow)])
def test_a_storm_of_503_that_passes(site: Site, pull: Pull, truth: bytes, route: str) -> None:
    site.on(route, *[STORM] * 4)
    assert pull().path.read_bytes() == truth
    assert site.count(route) == AT_ONCE.attempts == 5


@pytest.mark.parametrize("route", ["materialize", pytest.param("artifact", marks=pytest.mark.slow)])
def test_a_storm_of_503_that_does_not(site: Site, pull: Pull, cache: Path, route: str) -> None:
    site.on(route, *[STORM] * 5)
    with pytest.raises(ServiceUnavailable) as caught:
        pull()
    assert (caught.value.status, caught.value.retry_after, site.count(route)) == (503, 0, 5)
    assert not [kind for kind in files(cache) if kind != ".part"]


@pytest.fixture
def full(site: Site, models: Path) -> Iterator[tuple[FastAPI, CountedManifold]]:
    """The service, with a queue that is full until the gate of its manifold is opened."""
    manifold = CountedManifold.load(models / "tiny" / "1" / "manifold.safetensors")
    manifold.gate.clear()
    app = tiny_app(models, manifold, queue_limit=1)
    site.serve(app)
    with httpx.Client(base_url=site.url) as client, posting(client):
        wait_for(lambda: sample(app, "queue_depth") == 1)
        yield app, manifold
        manifold.gate.set()


def refused(app: FastAPI) -> float:
    return sample(app, "requests_total", operation="materialize", outcome="overloaded")


def test_a_full_queue_is_waited_for(full: tuple[FastAPI, CountedManifold], pull: Pull, truth: bytes) -> None:
    app, manifold = full
    with ThreadPoolExecutor(1) as thread:
        pulled = thread.submit(pull)
        wait_for(lambda: refused(app) > 0)
        manifold.gate.set()
        assert pulled.result().path.read_bytes() == truth


def test_a_queue_that_stays_full_is_an_error_that_says_so(full: tuple[FastAPI, CountedManifold], pull: Pull) -> None:
    with pytest.raises(ServiceUnavailable) as caught:
        pull(retries=Retries(attempts=2, first_delay_s=0))
    assert (caught.value.code, caught.value.retry_after) == ("overloaded", 1)
    assert refused(full[0]) == 2
