"""Body limit, request ids, log line, disconnects: over a real socket."""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from neumeta_service.http.middleware import MAX_BODY_BYTES

from tests.service.serving import POST, CountedManifold, live, posting, tier, tiny_app, wait_for

JSON_BODY = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def client(models: Path) -> Iterator[httpx.Client]:
    with live(tiny_app(models)) as base, httpx.Client(base_url=base, timeout=60) as client:
        yield client


def padded(size: int) -> bytes:
    body = b'{"compression": 0.5}'
    return body + b" " * (size - len(body))


def chunks(body: bytes, size: int = 1000) -> Iterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


def test_the_largest_body_is_read(client: httpx.Client) -> None:
    assert client.post(POST, content=padded(MAX_BODY_BYTES), headers=JSON_BODY).status_code == 200
    assert client.post(POST, content=chunks(padded(MAX_BODY_BYTES)), headers=JSON_BODY).status_code == 200


@pytest.mark.parametrize("path", [POST, "/nowhere", "/livez"])
@pytest.mark.parametrize("chunked", [False, True])
def test_one_byte_more_is_refused_everywhere(client: httpx.Client, chunked: bool, path: str) -> None:
    body = padded(MAX_BODY_BYTES + 1)
    response = client.post(path, content=chunks(body) if chunked else body, headers=JSON_BODY)
    assert response.status_code == 413
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == "body_too_large"
    assert response.json()["request_id"] == response.headers["x-request-id"]
    assert client.get("/livez").status_code == 200


def test_a_declared_length_is_refused_before_anything_is_sent(client: httpx.Client) -> None:
    with socket.create_connection((client.base_url.host, client.base_url.port or 0)) as connection:
        connection.settimeout(60)
        connection.sendall(f"POST {POST} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 99999999999\r\n\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("offered", ["a", "A.b-c_9" * 9, "x" * 64])
def test_a_good_request_id_is_echoed(client: httpx.Client, offered: str) -> None:
    assert client.get("/livez", headers={"x-request-id": offered}).headers["x-request-id"] == offered


@pytest.mark.parametrize("offered", [None, "", "x" * 65, "a b", "ä", 'a"b', "a/b"])
def test_another_one_is_replaced(client: httpx.Client, offered: str | None) -> None:
    headers = {} if offered is None else {"x-request-id": offered.encode()}
    given = [client.get("/nowhere", headers=headers).headers["x-request-id"] for _ in range(2)]
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in given)
    assert given[0] != given[1]


def test_one_line_for_each_request(client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "neumeta_service")
    client.post(POST, json={"compression": 0.25})
    client.post(POST, json={"compression": 0.25})
    client.post(POST, json={"compression": 7})
    client.get("/v1/models/%0d%0aforged%20line")

    def lines() -> list[str]:
        messages = (record.getMessage() for record in caplog.records if record.name == "neumeta_service.http.middleware")
        return [message for message in messages if "/v1/models/" in message]

    # A line is written after the answer was sent, so that of an earlier test may still come.
    wait_for(lambda: len(lines()) == 4)
    built, hit, invalid, forged = lines()
    assert re.fullmatch(rf"POST {POST} 200 built key=[0-9a-f]{{16}} \d+\.\d ms", built)
    assert hit.startswith(built.replace("built", "memory").rpartition(" key")[0])
    assert invalid.startswith(f"POST {POST} 422 invalid_request key=- ")
    assert "\n" not in forged
    assert "%0D%0Aforged" in forged


def test_requests_are_counted_by_operation_and_outcome(models: Path) -> None:
    app = tiny_app(models)
    with live(app) as base, httpx.Client(base_url=base, timeout=60) as client:
        for body in ({"compression": 0.5}, {"compression": 0.5}, {"compression": 7}):
            client.post(POST, json=body)
        client.get("/nowhere")
        client.get("/livez")
    # The app is closed: everything was counted.
    sample = app.state.engine.metrics.registry.get_sample_value
    for operation, outcome in (
        ("materialize", "built"),
        ("materialize", "memory"),
        ("materialize", "invalid_request"),
        ("none", "not_found"),
        ("get_livez", "ok"),
    ):
        assert sample("neumeta_requests_total", {"operation": operation, "outcome": outcome}) == 1


def test_a_client_that_disconnects_does_not_cancel_the_build(models: Path, manifold: CountedManifold) -> None:
    manifold.gate.clear()
    app = tiny_app(models, manifold)
    with live(app) as base, httpx.Client(base_url=base, timeout=60) as client:
        with posting(client):
            assert manifold.started.wait(60)
        manifold.gate.set()
        wait_for(lambda: app.state.engine.metrics.registry.get_sample_value("neumeta_artifact_bytes_count") == 1)
        response = client.post(POST, json={"compression": 0.5})
        assert (response.status_code, tier(response)) == (200, "memory")
        assert manifold.builds == 1


def test_the_event_loop_is_free_while_a_build_runs(models: Path, manifold: CountedManifold) -> None:
    manifold.gate.clear()
    with live(tiny_app(models, manifold)) as base, httpx.Client(base_url=base, timeout=60) as client, posting(client) as connection:
        assert manifold.started.wait(60)
        assert client.get("/livez").status_code == 200
        manifold.gate.set()
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")


def test_a_client_that_leaves_within_its_body_is_disconnected_and_no_more(models: Path) -> None:
    with live(tiny_app(models)) as base, httpx.Client(base_url=base, timeout=60) as client:
        with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=60) as connection:
            connection.sendall(f"POST {POST} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 20\r\n\r\n{{".encode())
            wait_for(lambda: "neumeta_inflight 2.0" in client.get("/metrics").text)
        wait_for(lambda: 'neumeta_requests_total{operation="none",outcome="disconnected"} 1.0' in client.get("/metrics").text)
        assert "malformed_body" not in client.get("/metrics").text
