"""Clients that leave early and clients that read slowly: the others do not notice, and nothing is left of them."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import socket
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from neumeta_core.manifold import Manifold
from neumeta_core.spec import Spec
from neumeta_service.app import create_app
from neumeta_service.cache import Entry, MemoryCache, Origin
from neumeta_service.catalog.catalog import Catalog
from neumeta_service.engine import Engine
from neumeta_service.http.blob import PIECE_BYTES
from neumeta_service.settings import Settings
from neumeta_service.telemetry.metrics import Metrics

from tests.service.serving import POST, CountedManifold, live, tier, tiny_app, wait_for

EARLY = 100
WIDTHS = [{"conv1": 2 + number % 7, "conv2": 3 + number // 7} for number in range(20)]
"""Members that the early clients ask for, five clients each."""
SLOW = 50
LARGE = 64_000_000
"""Bytes of an artifact that no socket's buffers hold."""


def sample(app: FastAPI, name: str) -> float:
    return app.state.engine.metrics.registry.get_sample_value(name) or 0


def post_request(body: object) -> bytes:
    data = json.dumps(body).encode()
    head = f"POST {POST} HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
    return head.encode() + data


def connect(base: str) -> socket.socket:
    url = httpx.URL(base)
    return socket.create_connection((url.host, url.port or 0), timeout=60)


def test_a_hundred_clients_that_leave_early(models: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A build that has begun goes on; those that nobody waits for are dropped; nothing is lost for the next one who asks."""
    manifold = CountedManifold.load(models / "tiny" / "1" / "manifold.safetensors")
    manifold.gate.clear()
    app = tiny_app(models, manifold)
    with live(app) as base, httpx.Client(base_url=base, timeout=60) as client:
        with ExitStack() as stack:
            for number in range(EARLY):
                connection = stack.enter_context(connect(base))
                connection.sendall(post_request({"widths": WIDTHS[number % len(WIDTHS)]}))
            wait_for(lambda: sample(app, "neumeta_inflight") == EARLY and sample(app, "neumeta_queue_depth") == len(WIDTHS))
        # Before the build ends, or the next one begins while the service has yet to hear that its clients are gone.
        wait_for(lambda: sample(app, "neumeta_inflight") == 0)
        manifold.gate.set()
        wait_for(lambda: sample(app, "neumeta_queue_depth") == 0)
        assert manifold.builds == 1
        answers = [client.post(POST, json={"widths": widths}).raise_for_status() for widths in WIDTHS]
        assert [tier(answer) for answer in answers].count("memory") == 1
        assert manifold.builds == len(WIDTHS)
        for answer in answers:
            assert f"sha256:{hashlib.sha256(answer.content).hexdigest()}" == answer.headers["etag"].strip('"')
    assert "never retrieved" not in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("sent", [1, 30, 100, -1], ids=["a byte", "part of the head", "the head", "all but a byte"])
def test_a_hundred_clients_that_leave_before_they_have_asked(models: Path, sent: int) -> None:
    manifold = CountedManifold.load(models / "tiny" / "1" / "manifold.safetensors")
    app = tiny_app(models, manifold)
    with live(app) as base:
        for _ in range(EARLY):
            with connect(base) as connection:
                connection.sendall(post_request({"compression": 0.5})[:sent])
        assert httpx.get(f"{base}/livez", timeout=60).status_code == 200
        wait_for(lambda: sample(app, "neumeta_inflight") == 0)
    assert manifold.builds == 0


def test_fifty_slow_readers(models: Path, honest: Manifold) -> None:
    """Each has no more than a piece waiting, the others are served meanwhile, and one that goes on reading gets it all."""
    artifact = large_artifact(honest)
    app = app_with(artifact, models, honest)
    with live(app) as base, ExitStack() as stack:
        before = resident_bytes()
        readers = [stack.enter_context(connect(base)) for _ in range(SLOW)]
        for reader in readers:
            reader.sendall(f"GET /v1/artifacts/{artifact.digest} HTTP/1.1\r\nhost: test\r\n\r\n".encode())
        assert all(reader.recv(12) == b"HTTP/1.1 200" for reader in readers)
        assert sample(app, "neumeta_inflight") == SLOW
        with httpx.Client(base_url=base, timeout=60) as client:
            for compression in (0.25, 0.5, 0.75) * 5:
                assert client.post(POST, json={"compression": compression}).status_code == 200
        assert resident_bytes() - before < SLOW * PIECE_BYTES + 64 * 2**20
        assert digest_of_rest(readers[0], artifact) == artifact.digest
    wait_for(lambda: sample(app, "neumeta_inflight") == 0)


def large_artifact(manifold: Manifold) -> Entry:
    """Under the key of the tiny full network."""
    spec = Spec.of(manifold, manifold.configure(0.0), "fp32")
    data = bytes(range(250)) * (LARGE // 250)
    return Entry(Origin(spec.cache_key(manifold.arithmetic), spec), f"sha256:{hashlib.sha256(data).hexdigest()}", "large.onnx", data)


def app_with(artifact: Entry, models: Path, manifold: Manifold) -> FastAPI:
    metrics = Metrics()
    memory = MemoryCache(2 * LARGE, metrics)
    asyncio.run(memory.put(artifact))
    return create_app(Settings(models=models, device="cpu"), engine=Engine(Catalog([manifold]), [memory], metrics))


def digest_of_rest(reader: socket.socket, artifact: Entry) -> str:
    """Of the body, after the status was taken off."""
    with reader.makefile("rb") as stream:
        stream.readline()
        http.client.parse_headers(stream)
        return f"sha256:{hashlib.sha256(stream.read(len(artifact.data))).hexdigest()}"


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096
