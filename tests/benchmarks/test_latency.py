from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Barrier, Thread
from typing import Any, ClassVar

import httpx
import pytest
from neumeta_core.architecture import ChannelGroup


@pytest.fixture
def latency() -> Any:
    return importlib.import_module("latency")


@pytest.fixture
def crowd() -> Any:
    return importlib.import_module("crowd")


class Handler(BaseHTTPRequestHandler):
    """Answers from memory; a model named ``wait`` only when two clients ask at the same time."""

    protocol_version = "HTTP/1.1"
    both = Barrier(2, timeout=30)
    asked: ClassVar[list[tuple[str, object]]] = []

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.asked.append((self.path, body))
        if "wait" in self.path:
            self.both.wait()
        self._answer(b"artifact")

    def _answer(self, data: bytes) -> None:
        self.send_response(404 if "gone" in self.path else 200)
        fields = {"content-length": str(len(data)), "cache-status": "neumeta; hit; detail=memory", "server-timing": "cache;dur=0.1"}
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nothing on the screen of the tests."""


@pytest.fixture
def url() -> Iterator[str]:
    Handler.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_an_answer_from_another_tier_is_an_error(latency: Any, url: str) -> None:
    with httpx.Client(base_url=url, trust_env=False) as client:
        assert latency.ask(client, "m", {}).tier == "memory"
        assert latency.ask(client, "m", {}, tier="memory").cache_status == "neumeta; hit; detail=memory"
        with pytest.raises(RuntimeError, match="from 'memory', not from 'built'"):
            latency.ask(client, "m", {}, tier="built")
        with pytest.raises(RuntimeError, match="404"):
            latency.ask(client, "gone", {})


def test_steps_are_those_of_all_answers(latency: Any) -> None:
    answers = [latency.Answer(2.0, {"cache": 1.0}, 0, ""), latency.Answer(4.0, {"cache": 1.0, "inr": 2.0}, 0, "")]
    steps = {row["step"]: row["ms mean"] for row in latency.steps_of(answers)}
    assert steps == {"cache": 1.0, "inr": 1.0, "http and the rest": 1.0}


def test_random_widths_keep_to_range_and_steps(latency: Any) -> None:
    groups = [ChannelGroup(name="a", full=16, minimum=8, granularity=4), ChannelGroup(name="b", full=3, minimum=2)]
    found = latency.random_widths(groups, 6)
    assert sorted(tuple(widths.values()) for widths in found) == [(a, b) for a in (8, 12, 16) for b in (2, 3)]
    assert latency.random_widths(groups, 6) == found
    with pytest.raises(ValueError, match="not so many"):
        latency.random_widths(groups, 7)


def test_clients_ask_at_once_or_one_after_the_other(crowd: Any, url: str) -> None:
    bodies = [{"compression": number / 10} for number in range(4)]
    assert crowd.seconds_for(url, "wait", bodies, clients=2) > 0  # It would not end if they asked one after the other.
    assert sorted(body["compression"] for _, body in Handler.asked) == [0.0, 0.1, 0.2, 0.3]
    Handler.asked.clear()
    assert crowd.seconds_for(url, "m", bodies, clients=1) > 0
    assert Handler.asked == [("/v1/models/m/materialize", body) for body in bodies]
    with pytest.raises(RuntimeError, match="404"):
        crowd.seconds_for(url, "gone", bodies, clients=2)
