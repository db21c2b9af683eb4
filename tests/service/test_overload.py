"""More than can be done: a full queue, deadlines, clients that hang up. Over real sockets, with builds held back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from tests.service.serving import POST, CountedManifold, live, posting, tier, tiny_app, wait_for


@dataclass
class Held:
    """A service whose first build has begun and is held back until the manifold's gate opens."""

    app: FastAPI
    client: httpx.Client
    manifold: CountedManifold
    threads: ThreadPoolExecutor

    def ask(self, compression: float, **headers: str) -> Future[httpx.Response]:
        return self.threads.submit(self.client.post, POST, json={"compression": compression}, headers=headers)

    def sample(self, name: str, **labels: str) -> float:
        return self.app.state.engine.metrics.registry.get_sample_value(f"neumeta_{name}", labels) or 0

    def wait_for_depth(self, depth: int) -> None:
        wait_for(lambda: self.sample("queue_depth") == depth)


@contextmanager
def held(models: Path, manifold: CountedManifold, **settings: Any) -> Iterator[Held]:
    manifold.gate.clear()
    app = tiny_app(models, manifold, **settings)
    with live(app) as base, httpx.Client(base_url=base, timeout=120) as client, ThreadPoolExecutor(16) as threads:
        service = Held(app, client, manifold, threads)
        try:
            yield service
        finally:
            manifold.gate.set()


def test_a_full_queue_answers_503_with_retry_after(models: Path, manifold: CountedManifold) -> None:
    with held(models, manifold, queue_limit=2) as service:
        first, second = service.ask(0), service.ask(0.25)
        service.wait_for_depth(2)
        refused = service.ask(0.5).result()
        assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
        assert refused.headers["retry-after"] == "1"
        assert refused.json()["detail"].endswith("repeat the request in 1 s.")
        joined = service.ask(0.25)  # The same artifact takes no place of its own.
        assert service.client.get("/readyz").status_code == 200
        manifold.gate.set()
        assert [answer.result().status_code for answer in (first, second, joined)] == [200, 200, 200]
        assert service.ask(0.5).result().status_code == 200, "there is room again"
    assert service.sample("requests_total", operation="materialize", outcome="overloaded") == 1
    assert manifold.builds == 3


def test_what_is_cached_is_served_whatever_waits(models: Path, manifold: CountedManifold) -> None:
    manifold.gate.set()
    with live(app := tiny_app(models, manifold, queue_limit=1)) as base, httpx.Client(base_url=base, timeout=120) as client:
        digest = client.post(POST, json={"compression": 0.75}).headers["etag"].strip('"')
        manifold.gate.clear()
        with posting(client):
            wait_for(lambda: app.state.engine.metrics.registry.get_sample_value("neumeta_queue_depth") == 1)
            assert client.post(POST, json={"compression": 0}).status_code == 503
            assert tier(client.post(POST, json={"compression": 0.75})) == "memory"
            assert client.get(f"/v1/artifacts/{digest}").status_code == 200
            manifold.gate.set()


def test_a_deadline_ends_the_wait_and_not_the_build(models: Path, manifold: CountedManifold) -> None:
    with held(models, manifold) as service:
        patient = service.ask(0.5)
        assert manifold.started.wait(60)
        late = service.ask(0.5, **{"request-timeout": "0.1"}).result()
        assert (late.status_code, late.json()["code"]) == (504, "deadline_exceeded")
        assert late.headers["retry-after"] == "1"
        assert "within 0.1 s" in late.json()["detail"]
        manifold.gate.set()
        assert tier(patient.result()) == "built"
        assert tier(service.ask(0.5, **{"request-timeout": "0"}).result()) == "memory", "no wait at all"
    assert service.sample("requests_total", operation="materialize", outcome="deadline_exceeded") == 1
    assert manifold.builds == 1


def test_a_build_that_outlives_everybody_lands_in_the_cache(models: Path, manifold: CountedManifold) -> None:
    with held(models, manifold) as service:
        assert service.ask(0.5, **{"request-timeout": "0.5"}).result().status_code == 504
        assert manifold.started.is_set()
        manifold.gate.set()
        wait_for(lambda: service.sample("artifact_bytes_count") == 1)
        assert tier(service.ask(0.5).result()) == "memory"


def test_a_queued_build_that_nobody_waits_for_is_never_begun(models: Path, manifold: CountedManifold) -> None:
    with held(models, manifold) as service:
        first = service.ask(0)
        assert manifold.started.wait(60)
        assert service.ask(0.25, **{"request-timeout": "0.1"}).result().status_code == 504
        with posting(service.client):  # Hangs up when it is queued.
            service.wait_for_depth(3)
        wait_for(lambda: service.sample("requests_total", operation="materialize", outcome="disconnected") == 1)
        manifold.gate.set()
        assert first.result().status_code == 200
        service.wait_for_depth(0)
        assert manifold.builds == 1
        assert tier(service.ask(0.25).result()) == "built", "later it is built as ever"


def test_a_client_that_hangs_up_takes_no_build_from_others(models: Path, manifold: CountedManifold) -> None:
    with held(models, manifold) as service:
        first = service.ask(0)
        assert manifold.started.wait(60)
        with posting(service.client):
            service.wait_for_depth(2)
            other = service.ask(0.5)
            wait_for(lambda: service.sample("inflight") == 3)
        wait_for(lambda: service.sample("requests_total", operation="materialize", outcome="disconnected") == 1)
        manifold.gate.set()
        assert [first.result().status_code, other.result().status_code] == [200, 200]
        assert manifold.builds == 2


@pytest.mark.parametrize("wish", ["", "soon", "-1", "nan", "inf", "1e9", "1, 2"])
def test_a_wish_that_is_no_shorter_time_changes_nothing(models: Path, manifold: CountedManifold, wish: str) -> None:
    with held(models, manifold) as service:
        answer = service.ask(0.5, **{"request-timeout": wish})
        assert manifold.started.wait(60)
        threading.Event().wait(0.05)
        assert not answer.done()
        manifold.gate.set()
        assert answer.result().status_code == 200


def test_an_evicted_artifact_has_a_deadline_too(models: Path, manifold: CountedManifold) -> None:
    with live(tiny_app(models, manifold, cache_bytes=0)) as base, httpx.Client(base_url=base, timeout=120) as client:
        digest = client.post(POST, json={"compression": 0.5}).headers["etag"].strip('"')
        manifold.gate.clear()
        late = client.get(f"/v1/artifacts/{digest}", headers={"request-timeout": "0.1"})
        assert (late.status_code, late.json()["code"]) == (504, "deadline_exceeded")
        manifold.gate.set()
