"""Three processes of the service behind the shipped nginx, with one Redis: replicas go and come back, and no request fails."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.deployment.test_nginx import NGINX, proxy
from tests.service.redis_server import RedisServer, free_port
from tests.service.serving import JSON, POST, wait_for
from tests.service.test_main import command

pytestmark = pytest.mark.skipif(not NGINX, reason="nginx is not installed (for example: apt-get install nginx)")


@dataclass
class Replica:
    """A process of the service that can be killed and started again on its port."""

    folder: Path
    models: Path
    redis_url: str
    port: int = field(default_factory=free_port)
    running: ExitStack = field(default_factory=ExitStack)

    def start(self) -> None:
        settings = {"models": self.models, "redis_url": self.redis_url, "redis_timeout_s": 30, "port": self.port, "device": "cpu"}
        self.running.enter_context(command(self.folder / f"{self.port}.log", **settings))

    def kill(self) -> None:
        self.running.close()

    def answers(self) -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"http://127.0.0.1:{self.port}/readyz").status_code == 200
        return False

    def delivered(self, *outcomes: str) -> float:
        """How many members this process delivered, of all or these outcomes."""
        text = httpx.get(f"http://127.0.0.1:{self.port}/metrics").text
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples if sample.name == "neumeta_requests_total"]
        of_members = [sample for sample in samples if sample.labels["operation"] == "materialize"]
        return sum(sample.value for sample in of_members if not outcomes or sample.labels["outcome"] in outcomes)


@pytest.fixture
def replicas(tmp_path: Path, models: Path) -> Iterator[list[Replica]]:
    redis = RedisServer(tmp_path)
    redis.start()
    started = [Replica(tmp_path, models, redis.url) for _ in range(3)]
    try:
        for replica in started:
            replica.start()
        wait_for(lambda: all(replica.answers() for replica in started))
        yield started
    finally:
        for replica in started:
            replica.kill()
        redis.kill()


@contextmanager
def requests(client: httpx.Client) -> Iterator[list[str]]:
    """Requests without a pause, from two threads; gives what became of each so far: ``ok``, or what went wrong."""
    outcomes: list[str] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            try:
                answer = client.post(POST, json={"compression": 0.5}, headers=JSON)
                outcomes.append("ok" if answer.status_code == 200 else f"{answer.status_code} {answer.text}")
            except httpx.TransportError as error:
                outcomes.append(repr(error))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield outcomes
    finally:
        done.set()
        for thread in threads:
            thread.join()


def test_replicas_go_and_come_back_and_no_request_fails(tmp_path: Path, replicas: list[Replica]) -> None:
    """An answer of which half is on its way when its replica is killed is cut; so none is under way at that moment."""
    first, *others = replicas
    with proxy(tmp_path, [replica.port for replica in replicas]) as client:
        with requests(client) as outcomes:
            wait_for(lambda: all(replica.delivered() > 0 for replica in replicas))
        assert sum(replica.delivered("redis") for replica in replicas) > 0, "what one replica built, another took from Redis"
        assert set(outcomes) == {"ok"}

        first.kill()
        with requests(client) as outcomes:
            wait_for(lambda: len(outcomes) > 100)
            assert all(replica.answers() for replica in others)
            first.start()
            wait_for(first.answers)
            wait_for(lambda: first.delivered() > 0)
        assert set(outcomes) == {"ok"}
