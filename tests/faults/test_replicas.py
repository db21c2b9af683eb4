"""Replicas as processes, killed while they work."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from neumeta_core.assembly import assemble
from neumeta_core.manifold import Manifold

from tests.deployment.test_nginx import NGINX, proxy
from tests.faults.raw import Wire
from tests.service.held import held_service
from tests.service.redis_server import RedisServer, free_port
from tests.service.serving import POST, tier
from tests.service.test_main import command, wait_until_it_serves

HALF = {"compression": 0.5}


@contextmanager
def replica(models: Path, folder: Path, redis_url: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The service's command, and its URL."""
    port = free_port()
    settings = {"models": models, "port": port, "device": "cpu", "redis_url": redis_url, "redis_timeout_s": 30}
    with command(folder / f"replica-{port}.log", **settings) as process:
        wait_until_it_serves(process, f"http://127.0.0.1:{port}")
        yield process, f"http://127.0.0.1:{port}"


def right_bytes(manifold: Manifold) -> bytes:
    member = manifold.configure(0.5)
    return assemble(manifold, member, manifold.materialize(member)).data


def test_killed_in_the_middle_of_a_build(models: Path, honest: Manifold, tmp_path: Path, redis_server: RedisServer) -> None:
    """Its client sees a broken connection; Redis has nothing of it, and another replica has the right bytes."""
    with held_service(models, tmp_path, redis_url=redis_server.url) as held, ThreadPoolExecutor(1) as thread:
        answer = thread.submit(held.post, 0.5)
        held.wait_for_build()
        held.process.kill()
        with pytest.raises(httpx.TransportError):
            answer.result()
    with redis_server.connect() as redis:
        assert list(redis.scan_iter("*:blob")) == list(redis.scan_iter("*:meta")) == []
    with replica(models, tmp_path, redis_server.url) as (_, url):
        made = httpx.post(f"{url}{POST}", json=HALF, timeout=60)
        assert (made.content, tier(made)) == (right_bytes(honest), "built")


@pytest.mark.skipif(not NGINX, reason="nginx is not installed (for example: apt-get install nginx)")
def test_the_proxy_asks_the_other_replica_for_what_a_killed_one_was_building(models: Path, honest: Manifold, tmp_path: Path) -> None:
    """Without Redis, in which the killed one could find what the other has built."""
    with held_service(models, tmp_path) as held, replica(models, tmp_path, "") as (_, url):
        ports = [base.port or 0 for base in (held.client.base_url, httpx.URL(url))]
        with proxy(tmp_path, ports) as client, ThreadPoolExecutor(8) as threads:
            answers = [threads.submit(client.post, POST, json=HALF) for _ in range(8)]
            held.wait_for_build()
            held.process.kill()
            assert {answer.result().content for answer in answers} == {right_bytes(honest)}


@pytest.mark.slow
def test_killed_and_restarted_it_has_everything_from_redis(models: Path, honest: Manifold, tmp_path: Path, redis_server: RedisServer) -> None:
    for expected in ("built", "redis", "redis"):
        with replica(models, tmp_path, redis_server.url) as (process, url):
            made = httpx.post(f"{url}{POST}", json=HALF, timeout=60)
            assert (made.content, tier(made)) == (right_bytes(honest), expected)
            assert httpx.get(f"{url}{made.headers['content-location']}", timeout=60).content == made.content
            process.kill()


def test_the_command_refuses_a_head_without_end(models: Path, tmp_path: Path) -> None:
    port = free_port()
    with command(tmp_path / "log", models=models, port=port, device="cpu") as process:
        wait_until_it_serves(process, f"http://127.0.0.1:{port}")
        wire = Wire(f"http://127.0.0.1:{port}")
        assert wire.say(b"GET /livez HTTP/1.1\r\nx-one: " + b"a" * 2_000_000) in ([], [431])
        assert wire.is_well()
        assert process.poll() is None
