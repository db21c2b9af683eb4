"""Headers of all answers, and a page of documentation that needs nothing from elsewhere."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from neumeta_service.http.protocol import MAX_HEAD_BYTES

from tests.service.serving import JSON, POST, live, tiny_app

NOTHING = "default-src 'none'; frame-ancestors 'none'"


@pytest.fixture(scope="module")
def client(models: Path) -> Iterator[httpx.Client]:
    with live(tiny_app(models)) as base, httpx.Client(base_url=base, timeout=60) as client:
        yield client


def check(answer: httpx.Response, policy: str = NOTHING) -> None:
    wanted = {
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-resource-policy": "same-origin",
        "content-security-policy": policy,
    }
    assert {name: answer.headers.get_list(name) for name in wanted} == {name: [value] for name, value in wanted.items()}


def test_every_answer_has_them(client: httpx.Client) -> None:
    made = client.post(POST, json={"compression": 0.5})
    artifact = made.headers["content-location"]
    answers = [
        made,
        client.post(POST, json={"compression": 0.5}, headers=JSON),
        client.post(POST, json={"compression": 9}),
        client.post(POST, content=b"x" * 20_000),
        client.get(artifact),
        client.head(artifact),
        client.get(artifact, headers={"range": "bytes=0-1"}),
        client.get(artifact, headers={"if-none-match": "*"}),
        client.get("/v1/models"),
        client.get("/livez"),
        client.get("/metrics"),
        client.get("/nowhere"),
        client.get("/openapi.json"),
        client.get("/docs/start.js"),
        client.get("/livez", headers={"x": "x" * MAX_HEAD_BYTES}),
    ]
    assert {answer.status_code for answer in answers} == {200, 206, 304, 404, 413, 422, 431}
    for answer in answers:
        check(answer)


def test_the_page_and_its_parts_come_from_the_service_alone(client: httpx.Client) -> None:
    page = client.get("/docs")
    policy = page.headers["content-security-policy"]
    check(page, policy)
    assert policy.startswith("default-src 'none'; script-src 'self'; ")
    assert "://" not in policy + page.text
    assert not re.search(r"<script(?![^>]* src=)|\son\w+=|javascript:", page.text), "the policy runs no script that stands in the page"
    parts = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(parts) == 4
    assert not [part for part in parts if part.startswith("/")], "a proxy may serve it below another path"
    types = {client.get(part).raise_for_status().headers["content-type"].partition(";")[0] for part in parts}
    assert types == {"text/javascript", "text/css", "image/png"}
    assert 'url: "openapi.json"' in client.get("/docs/start.js").text


def test_the_explorer_runs_networks_and_nothing_that_stands_in_the_page(client: httpx.Client) -> None:
    policy = client.get("/").headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; ")
    assert "unsafe-inline" not in policy
    check(client.get("/"), policy)


def test_there_are_no_other_pages_and_no_other_files(client: httpx.Client) -> None:
    host, port = client.base_url.host, client.base_url.port or 0
    for path in ("/redoc", "/docs/oauth2-redirect", "/docs/assets/../core.py", "/docs/assets/%2e%2e/core.py", "/docs/assets//etc/passwd"):
        with socket.create_connection((host, port), timeout=60) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
            assert connection.recv(100).startswith(b"HTTP/1.1 404 "), path
