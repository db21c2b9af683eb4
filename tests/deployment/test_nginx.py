"""The shipped nginx configuration, by a real nginx before real services."""

from __future__ import annotations

import os
import re
import shutil
import socket
import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from neumeta_core.manifold import Manifold
from neumeta_service.app import create_app
from neumeta_service.catalog.catalog import Catalog
from neumeta_service.http.schemas import ProblemDocument

from tests.deployment.files import ROOT, compose
from tests.service.access.tokens import add_key, bearer
from tests.service.redis_server import free_port
from tests.service.serving import JSON, POST, CountedManifold, live, tiny_app, wait_for
from tests.service.signed import Clock, SignedFolder
from tests.tiny import save_tiny

CONFIGURATION = ROOT / "docker" / "nginx" / "nginx.conf"
NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") or ""

pytestmark = pytest.mark.skipif(not NGINX, reason="nginx is not installed (for example: apt-get install nginx)")


def local(folder: Path, port: int, replicas: list[int], changes: Mapping[str, str] | None = None) -> list[str]:
    """The container's command, for a copy of the configuration with addresses of this machine and what else is changed."""
    text = CONFIGURATION.read_text()
    for before, after in (changes or {}).items():
        assert before in text
        text = text.replace(before, after)
    [upstream] = [line for line in text.splitlines() if "server service:8080 resolve" in line]
    servers = [upstream.replace("service:8080 resolve", f"127.0.0.1:{replica}") for replica in replicas]
    text = text.replace(upstream, "\n".join(servers)).replace("listen 8080;", f"listen 127.0.0.1:{port};")
    (folder / "nginx.conf").write_text(text)
    service = compose()["services"]["proxy"]
    words = [*service["entrypoint"][1:], *service["command"]]
    # Started by root, nginx would work as another user, who may not enter the tests' folders.
    stay = " user root;" if os.getuid() == 0 else ""
    places = {"/tmp": str(folder), "/etc/nginx/nginx.conf": str(folder / "nginx.conf"), "daemon off;": f"daemon off;{stay}"}
    return [NGINX, *(places.get(word, word) for word in words)]


@dataclass
class Proxied:
    client: httpx.Client
    app: FastAPI

    def asked(self, operation: str, outcome: str = "memory") -> float:
        """How often the service itself was asked."""
        return self.app.state.engine.metrics.registry.get_sample_value("neumeta_requests_total", {"operation": operation, "outcome": outcome}) or 0

    def inflight(self) -> float | None:
        """How many requests the service is at."""
        return self.app.state.engine.metrics.registry.get_sample_value("neumeta_inflight")

    def artifact(self) -> tuple[str, bytes]:
        """URL and bytes of an artifact, as the service answers a POST."""
        made = self.client.post(POST, json={"compression": 0.5}).raise_for_status()
        return made.headers["content-location"], made.content


@contextmanager
def proxy(folder: Path, replicas: list[int], changes: Mapping[str, str] | None = None) -> Iterator[httpx.Client]:
    port = free_port()
    with subprocess.Popen(local(folder, port, replicas, changes), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            wait_for(lambda: process.poll() is not None or _accepts(port))
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                yield client
        finally:
            process.terminate()


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    return tiny_app(tmp_path, Manifold.load(save_tiny(tmp_path)))


@pytest.fixture
def proxied(tmp_path: Path, app: FastAPI) -> Iterator[Proxied]:
    with ExitStack() as stack:
        base = stack.enter_context(live(app))
        yield Proxied(stack.enter_context(proxy(tmp_path, [httpx.URL(base).port or 0])), app)


def test_nginx_accepts_the_configuration(tmp_path: Path) -> None:
    checked = subprocess.run([*local(tmp_path, free_port(), [free_port()]), "-t"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "warn" not in checked.stderr


def test_the_image_resolves_names_while_it_runs() -> None:
    """Unlike the nginx of many distributions, with which the other tests name addresses instead."""
    image = compose()["services"]["proxy"]["image"]
    version = tuple(int(part) for part in re.findall(r"\d+", image.partition(":")[2]))
    assert version >= (1, 27, 3)


def test_an_artifact_is_asked_of_the_service_once(proxied: Proxied) -> None:
    url, data = proxied.artifact()
    answers = [proxied.client.get(f"{url}{query}") for query in ("", "", "?whatever")]
    assert all(answer.content == data for answer in answers)
    entries = [answer.headers.get_list("cache-status", split_commas=True)[-1] for answer in answers]
    assert entries == ["nginx; fwd=uri-miss", "nginx; hit", "nginx; hit"]
    assert answers[2].headers["etag"] == f'"{url.rpartition("/")[2]}"'
    assert "immutable" in answers[2].headers["cache-control"]
    wait_for(lambda: proxied.asked("get_artifact") >= 1)
    assert proxied.asked("get_artifact") == 1


def test_however_many_wait_the_service_is_asked_once(tmp_path: Path) -> None:
    manifold = CountedManifold.load(save_tiny(tmp_path))
    app = tiny_app(tmp_path, manifold, cache_bytes=0)
    # As long as this test may take: what is asked once does not depend on the clock then.
    patient = {"proxy_cache_lock_timeout 1s": "proxy_cache_lock_timeout 600s"}
    with live(app) as base, proxy(tmp_path, [httpx.URL(base).port or 0], patient) as client, ThreadPoolExecutor(8) as threads:
        url, data = Proxied(client, app).artifact()
        manifold.started.clear()
        manifold.gate.clear()
        answers = [threads.submit(client.get, url) for _ in range(8)]
        assert manifold.started.wait(60)
        for _ in range(16):
            client.get("/livez")
        manifold.gate.set()
        assert all(answer.result().content == data for answer in answers)
    asked = Proxied(client, app)
    wait_for(lambda: asked.asked("get_artifact", "built"))  # The service counts a request when its answer is sent.
    assert asked.asked("get_artifact", "built") == 1


def test_what_is_not_kept_is_not_waited_for_one_after_the_other() -> None:
    """404 and 503 are kept by nobody, so the lock lets through one of those who wait every half second, as long as they wait for it."""
    [seconds] = re.findall(r"proxy_cache_lock_timeout (\d+)s;", CONFIGURATION.read_text())
    assert int(seconds) <= 1


def test_signatures_are_not_kept_and_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """They are made anew while an artifact stays: a lock that lets one request through at a time would queue them all."""
    signed = SignedFolder(tmp_path, Clock())
    manifold = CountedManifold.load(signed.add())
    app = create_app(signed.settings(cache_bytes=0), catalog=Catalog([manifold]), clock=signed.clock)
    with live(app) as base, proxy(tmp_path, [httpx.URL(base).port or 0]) as client, ThreadPoolExecutor(8) as threads:
        proxied = Proxied(client, app)
        url = f"{proxied.artifact()[0]}/signature"
        manifold.gate.clear()
        answers = [threads.submit(client.get, url) for _ in range(8)]
        wait_for(lambda: proxied.inflight() == 8)
        manifold.gate.set()
        assert {answer.result().status_code for answer in answers} == {200}
        wait_for(lambda: proxied.inflight() == 0)
        envelope = client.get(url).json()["envelope"]
        signed.clock.now += 24 * 3600
        assert client.get(url).json()["envelope"] != envelope


@pytest.mark.parametrize("warm", [False, True])
def test_ranges_and_validators_are_those_of_the_service(proxied: Proxied, warm: bool) -> None:
    if warm:
        proxied.client.get(proxied.artifact()[0])
    check_ranges_and_validators(proxied)


def check_ranges_and_validators(proxied: Proxied) -> None:
    url, data = proxied.artifact()
    etag = f'"{url.rpartition("/")[2]}"'
    part = proxied.client.get(url, headers={"range": "bytes=10-19"})
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, data[10:20], f"bytes 10-19/{len(data)}")
    for validator, status in ((etag, 206), ('"other"', 200)):
        assert proxied.client.get(url, headers={"range": "bytes=10-", "if-range": validator}).status_code == status
    assert proxied.client.get(url, headers={"range": "bytes=0-1,3-4"}).content == data
    assert proxied.client.get(url, headers={"if-none-match": etag}).status_code == 304
    assert proxied.client.get(url, headers={"if-match": '"other"'}).status_code == 412
    assert proxied.client.get(url, headers={"range": f"bytes={len(data)}-"}).status_code == 416
    head = proxied.client.head(url)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(data)))


def test_an_answer_from_the_cache_carries_this_requests_id(proxied: Proxied) -> None:
    url, _ = proxied.artifact()
    assert [proxied.client.get(url, headers={"x-request-id": name}).headers.get_list("x-request-id") for name in "ab"] == [["a"], ["b"]]
    own = [proxied.client.get(url, headers={"x-request-id": "not good"}).headers["x-request-id"] for _ in range(2)]
    assert own[0] != own[1]


def test_posts_and_errors_are_not_kept(proxied: Proxied) -> None:
    for number in range(3):
        proxied.artifact()
        gone = proxied.client.get(f"/v1/artifacts/sha256:{'0' * 64}")
        assert (gone.status_code, gone.json()["code"]) == (404, "artifact_gone")
        wait_for(lambda number=number: proxied.asked("get_artifact", "artifact_gone") == number + 1)
    wait_for(lambda: proxied.asked("materialize") == 2)
    answer = proxied.client.post(POST, json={"compression": 0.5}, headers=JSON)
    assert answer.json()["url"] == proxied.artifact()[0]
    too_long = proxied.client.post(POST, content=b" " * 20_000, headers={"content-type": "application/json"})
    assert (too_long.status_code, too_long.json()["code"]) == (413, "body_too_large")


def test_what_needs_a_token_is_not_kept(tmp_path: Path) -> None:
    token, reader = bearer(add_key(tmp_path / "keys.json")), bearer(add_key(tmp_path / "keys.json", "read"))
    app = tiny_app(tmp_path, Manifold.load(save_tiny(tmp_path)), api_keys_file=tmp_path / "keys.json")
    with live(app) as base, proxy(tmp_path, [httpx.URL(base).port or 0]) as client:
        url = client.post(POST, json={"compression": 0.5}, headers=token).raise_for_status().headers["content-location"]
        for headers, status in ((token, 200), ({}, 401), (token, 200), (bearer("x"), 401), (reader, 200), ({}, 401)):
            answer = client.get(url, headers=headers)
            assert answer.status_code == status
            assert "nginx; hit" not in answer.headers["cache-status"]
        assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_with_a_token_too_ranges_and_validators_are_those_of_the_service(tmp_path: Path) -> None:
    token = bearer(add_key(tmp_path / "keys.json"))
    app = tiny_app(tmp_path, Manifold.load(save_tiny(tmp_path)), api_keys_file=tmp_path / "keys.json")
    with live(app) as base, proxy(tmp_path, [httpx.URL(base).port or 0]) as client:
        client.headers.update(token)
        check_ranges_and_validators(Proxied(client, app))
        answer = client.get(Proxied(client, app).artifact()[0], headers={"x-request-id": "a"})
        assert answer.headers.get_list("x-request-id") == ["a"]


def test_what_was_kept_before_there_were_keys_is_not_given_for_a_token(proxied: Proxied) -> None:
    url, _ = proxied.artifact()
    assert [proxied.client.get(url).headers.get_list("cache-status", split_commas=True)[-1] for _ in range(2)][-1] == "nginx; hit"
    answer = proxied.client.get(url, headers=bearer("x"))
    assert answer.headers.get_list("cache-status", split_commas=True) == ["neumeta; hit; detail=memory", "nginx; fwd=bypass"]


def test_a_client_behind_the_proxy_cannot_choose_its_address(tmp_path: Path) -> None:
    app = tiny_app(tmp_path, Manifold.load(save_tiny(tmp_path)), rate_limit="1/day")
    with live(app, proxy_headers=True, forwarded_allow_ips="127.0.0.1") as base, proxy(tmp_path, [httpx.URL(base).port or 0]) as client:
        assert [client.get("/v1/models", headers={"x-forwarded-for": f"198.51.100.{number}"}).status_code for number in range(2)] == [200, 429]


def test_a_client_of_http_1_0_needs_to_name_no_host(proxied: Proxied) -> None:
    url = proxied.client.base_url
    with socket.create_connection((url.host, url.port or 0)) as old:
        old.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        assert old.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_long_heads_stop_at_the_proxy(proxied: Proxied) -> None:
    assert proxied.client.get("/livez", headers={f"x-{number}": "x" * 3000 for number in range(4)}).status_code == 200
    for headers in ({"x": "x" * 9000}, {f"x-{number}": "x" * 3000 for number in range(8)}):
        check_problem(proxied.client.get("/livez", headers=headers), 431, "headers_too_large")
    check_problem(proxied.client.get(f"/livez?{'x' * 9000}"), 431, "headers_too_large")


def check_problem(response: httpx.Response, status: int, code: str) -> ProblemDocument:
    """A problem document of the service's kind, whoever made it."""
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json"), response.text
    assert "no-store" in response.headers.get_list("cache-control", split_commas=True)
    assert response.headers.get_list("x-content-type-options") == ["nosniff"]
    document = ProblemDocument.model_validate_json(response.content)
    assert (document.status, document.code, document.type) == (status, code, f"urn:neumeta:problem:{code}")
    assert response.headers.get_list("x-request-id") == [document.request_id]
    return document


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer whatever"}])
def test_errors_of_an_artifacts_request_are_problem_documents(proxied: Proxied, headers: dict[str, str]) -> None:
    url, data = proxied.artifact()
    for _ in range(2):
        check_problem(proxied.client.get(url, headers={"if-match": '"other"', **headers}), 412, "precondition_failed")
        outside = proxied.client.get(url, headers={"range": f"bytes={len(data)}-", **headers})
        assert check_problem(outside, 416, "range_not_satisfiable").instance == url
        assert outside.headers["content-range"] == f"bytes */{len(data)}"
    check_problem(proxied.client.request("GET", url, content=b" " * 70_000, headers=headers), 413, "body_too_large")


@pytest.mark.parametrize("path", ["/readyz", f"/v1/artifacts/sha256:{'0' * 64}", f"/v1/artifacts/sha256:{'0' * 64}/signature"])
def test_when_no_replica_answers_the_proxy_says_so(tmp_path: Path, path: str) -> None:
    with proxy(tmp_path, [free_port()]) as client:
        for headers in ({}, {"authorization": "Bearer whatever"}):
            response = client.get(f"{path}?x", headers=headers)
            assert check_problem(response, 502, "unreachable").instance == path
            assert client.head(path, headers=headers).status_code == 502
        odd = client.build_request("GET", client.base_url.copy_with(raw_path=b'//other/"{}'))
        assert check_problem(client.send(odd), 502, "unreachable").instance == "/"
        check_problem(client.post(POST, content=b" " * 70_000), 413, "body_too_large")


def test_every_code_of_the_proxy_is_documented() -> None:
    codes = re.findall(r"^ +(?:\d{3}|default) ([a-z_]+);$", CONFIGURATION.read_text(), re.MULTILINE)
    assert {"malformed_request", "unreachable"} <= {*codes}
    for page in ("errors.md", "http-api.md"):
        cells = re.findall(r"^\| (`[^|]*) \|", (ROOT / "docs" / page).read_text(), re.MULTILINE)
        assert {*codes} - {"yes"} <= {code for cell in cells for code in re.findall(r"`(\w+)`", cell)}


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (b"GET /livez HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "malformed_request"),
        (b"POST /livez HTTP/1.1\r\nHost: n\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "malformed_request"),
        (b"GET /livez HTTP/2.0\r\nHost: n\r\n\r\n", 505, "malformed_request"),
        (b"TRACE /livez HTTP/1.1\r\nHost: n\r\nConnection: close\r\n\r\n", 405, "method_not_allowed"),
        (b"GET /own-problem HTTP/1.1\r\nHost: n\r\nConnection: close\r\n\r\n", 404, "not_found"),
    ],
)
def test_what_the_proxy_refuses_by_itself_gets_a_problem_document(proxied: Proxied, request_: bytes, status: int, code: str) -> None:
    url = proxied.client.base_url
    with socket.create_connection((url.host, url.port or 0)) as connection:
        connection.sendall(request_)
        head, _, body = connection.makefile("rb").read().partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    document = ProblemDocument.model_validate_json(body)
    assert (document.status, document.code) == (status, code)


def test_conditions_that_nginx_cannot_answer_are_the_services(proxied: Proxied) -> None:
    url, data = proxied.artifact()
    for _ in range(3):
        assert proxied.client.get(url, headers={"if-unmodified-since": "Wed, 21 Oct 2015 07:28:00 GMT"}).content == data
        assert proxied.client.get(url).content == data


def test_connections_of_one_client_have_a_limit(tmp_path: Path) -> None:
    """A request that the replica never answers keeps its connection."""
    with socket.create_server(("127.0.0.1", 0)) as silent, proxy(tmp_path, [silent.getsockname()[1]], {"clients 128": "clients 1"}) as client:
        url = client.base_url
        with socket.create_connection((url.host, url.port or 0)) as held:
            held.sendall(b"GET /livez HTTP/1.1\r\nHost: n\r\n\r\n")
            with silent.accept()[0]:
                refused = client.get("/livez")
        check_problem(refused, 429, "rate_limited")
        assert refused.headers["retry-after"] == "1"
        assert "retry-after" not in client.get("/%").headers


def test_half_a_request_is_nothing_to_the_service(proxied: Proxied) -> None:
    body = b'{"compression": 0.5}'
    head = f"POST {POST} HTTP/1.1\r\nHost: n\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    url = proxied.client.base_url
    with socket.create_connection((url.host, url.port or 0)) as slow:
        slow.sendall(head + body[:5])
        assert proxied.client.get("/livez").status_code == 200
        wait_for(lambda: proxied.inflight() == 0)
        slow.sendall(body[5:])
        assert slow.recv(4096).startswith(b"HTTP/1.1 200 ")


@contextmanager
def hangs_up() -> Iterator[int]:
    """A replica that takes a request and closes the connection; gives its port."""

    class HangUp(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), HangUp) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def is_down() -> Iterator[int]:
    yield free_port()


@pytest.mark.parametrize("broken", [is_down, hangs_up])
def test_another_replica_answers_for_one_that_does_not(tmp_path: Path, app: FastAPI, broken: Callable[[], AbstractContextManager[int]]) -> None:
    with live(app) as base, broken() as bad, proxy(tmp_path, [bad, httpx.URL(base).port or 0]) as client:
        for _ in range(4):
            assert client.post(POST, json={"compression": 0.5}).status_code == 200
            assert client.get("/readyz").status_code == 200
