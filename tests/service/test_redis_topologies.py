"""Redis with TLS, behind sentinels and as a cluster: real servers, known to the service by URL alone."""

from __future__ import annotations

import gc
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from tests.service.redis_server import RedisServer, documented_user, free_port
from tests.service.serving import POST, in_process, tier, tiny_app, wait_for

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def forgotten_nodes() -> Iterator[None]:
    """The library leaves the connections to nodes that it forgets to the garbage collector, which would find them in another test."""
    yield
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        gc.collect()


WATCHWORD = "of-the-sentinels"
COMPRESSIONS = (0, 0.25, 0.5, 0.75)


@contextmanager
def server(folder: Path, *options: object) -> Iterator[RedisServer]:
    folder.mkdir()
    server = RedisServer(folder)
    server.start(*map(str, options))
    try:
        yield server
    finally:
        server.kill()


async def ask(client: httpx.AsyncClient) -> list[str]:
    answers = [await client.post(POST, json={"compression": compression}) for compression in COMPRESSIONS]
    assert [answer.status_code for answer in answers] == [200] * len(answers)
    return [tier(answer) for answer in answers]


async def errors(client: httpx.AsyncClient) -> list[str]:
    lines = (await client.get("/metrics")).text.splitlines()
    return [line for line in lines if line.startswith("neumeta_cache_errors_total{") and not line.endswith(" 0.0")]


async def check(models: Path, url: str) -> None:
    """All that a service does with Redis works: storing, reading, leases, origins."""
    async with in_process(tiny_app(models, redis_url=url, cache_bytes=0)) as client:
        assert await ask(client) == ["built"] * 4
        assert await ask(client) == ["redis"] * 4
        made = await client.post(POST, json={"compression": 0.5})
        assert 'neumeta_leases_total{result="won"} 4.0' in (await client.get("/metrics")).text
        assert await errors(client) == []
    async with in_process(tiny_app(models, redis_url=url, cache_bytes=0)) as other:
        assert tier(await other.get(made.headers["content-location"])) == "redis"
        assert await errors(other) == []


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``ca.pem``, and ``key.pem`` with ``cert.pem`` for 127.0.0.1, signed by it."""
    folder = tmp_path_factory.mktemp("certificates")
    new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    openssl(folder, *new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority", "-addext", "keyUsage=critical,keyCertSign")
    leaf = ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE"]
    openssl(folder, *new, *leaf, "-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=redis")
    return folder


def tls(certificates: Path, port: int) -> list[object]:
    files = ["--tls-cert-file", certificates / "cert.pem", "--tls-key-file", certificates / "key.pem", "--tls-ca-cert-file", certificates / "ca.pem"]
    return ["--tls-port", port, "--tls-auth-clients", "no", *files]


async def test_tls(models: Path, tmp_path: Path, certificates: Path) -> None:
    port = free_port()
    with server(tmp_path / "redis", *tls(certificates, port)) as one:
        await check(models, f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={certificates / 'ca.pem'}")
        with one.connect() as client:
            client.flushall()
        # The same server, but nobody vouches for it.
        async with in_process(tiny_app(models, redis_url=f"rediss://127.0.0.1:{port}/0")) as client:
            assert await ask(client) == ["built"] * 4
            assert "connection" in (await errors(client))[0]
        with one.connect() as client:
            assert client.dbsize() == 0


@contextmanager
def sentinel(folder: Path, primary: RedisServer) -> Iterator[int]:
    """A sentinel that alone decides; gives its port."""
    folder.mkdir()
    port = free_port()
    itself = [f"port {port}", "bind 127.0.0.1", f"dir {folder}", f"requirepass {WATCHWORD}"]
    watched = [f"sentinel monitor artifacts 127.0.0.1 {primary.port} 1", "sentinel failover-timeout artifacts 10000"]
    (folder / "sentinel.conf").write_text("\n".join([*itself, *watched]) + "\n")
    binary = shutil.which("redis-server")
    assert binary is not None
    process = subprocess.Popen([binary, "sentinel.conf", "--sentinel"], cwd=folder, stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: knows_primary(port))
        yield port
    finally:
        process.kill()
        process.wait()


def knows_primary(port: int) -> bool:
    try:
        return primary_port(port) > 0
    except redis.exceptions.RedisError:
        return False


def primary_port(port: int) -> int:
    with redis.Redis(port=port, password=WATCHWORD, socket_timeout=30) as client:
        return int(client.sentinel_master("artifacts")["port"])


async def test_a_primary_that_sentinels_know(models: Path, tmp_path: Path) -> None:
    with server(tmp_path / "one") as one, sentinel(tmp_path / "sentinel", one) as port:
        with one.connect() as client:
            client.execute_command(*documented_user())
        # The first sentinel is not there: the next one is asked.
        await check(models, f"redis+sentinel://neumeta:secret@127.0.0.1:{free_port()},127.0.0.1:{port}/artifacts/3?sentinel_password={WATCHWORD}")
        with one.connect() as client:
            assert client.info("keyspace").keys() == {"db3"}


def is_replica(server: RedisServer) -> bool:
    with server.connect() as client:
        return client.info("replication")["master_link_status"] == "up"


async def test_a_failover_is_followed(models: Path, tmp_path: Path) -> None:
    with server(tmp_path / "one") as one, server(tmp_path / "two", "--replicaof", "127.0.0.1", one.port) as two:
        wait_for(lambda: is_replica(two))
        with sentinel(tmp_path / "sentinel", one) as port:
            url = f"redis+sentinel://127.0.0.1:{port}/artifacts?sentinel_password={WATCHWORD}"
            async with in_process(tiny_app(models, redis_url=url, cache_bytes=0)) as client:
                assert await ask(client) == ["built"] * 4
                wait_for(lambda: _all_replicated(one, two))
                with redis.Redis(port=port, password=WATCHWORD, socket_timeout=30) as boss:
                    wait_for(lambda: _begins_failover(boss))
                wait_for(lambda: primary_port(port) == two.port)
                one.kill()
                # The connection that broke off is one error; the next one goes to the new primary, which has everything.
                await ask(client)
                assert await ask(client) == ["redis"] * 4
                assert len(await errors(client)) <= 1


def _begins_failover(boss: redis.Redis) -> bool:
    try:
        return bool(boss.execute_command("SENTINEL", "FAILOVER", "artifacts"))
    except redis.exceptions.ResponseError as error:
        if "NOGOODSLAVE" not in str(error):
            raise
        return False  # It has to have heard how the replica is before it promotes it.


def _all_replicated(one: RedisServer, two: RedisServer) -> bool:
    with one.connect() as first, two.connect() as second:
        return bool(first.dbsize() == second.dbsize())


@contextmanager
def cluster(folder: Path, *options: object) -> Iterator[list[RedisServer]]:
    """Three nodes that share the slots."""
    clustered = ["--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1", *options]
    with (
        server(folder / "one", *clustered, "--cluster-port", free_port()) as one,
        server(folder / "two", *clustered, "--cluster-port", free_port()) as two,
        server(folder / "three", *clustered, "--cluster-port", free_port()) as three,
    ):
        nodes = [one, two, three]
        for number, (node, slots) in enumerate(zip(nodes, ((0, 5460), (5461, 10922), (10923, 16383)), strict=True), 1):
            tell(node, "CLUSTER", "ADDSLOTSRANGE", *slots)
            tell(node, "CLUSTER", "SET-CONFIG-EPOCH", number)
        for node in nodes[1:]:
            tell(node, "CLUSTER", "MEET", "127.0.0.1", one.port, bus_port(one))
        wait_for(lambda: all(b"cluster_state:ok" in cluster_info(node) and b"cluster_known_nodes:3" in cluster_info(node) for node in nodes))
        yield nodes


def tell(node: RedisServer, *command: object) -> Any:
    with node.connect() as client:
        return client.execute_command(*command)


def bus_port(node: RedisServer) -> int:
    with node.connect() as client:
        return int(client.config_get("cluster-port")["cluster-port"])


def cluster_info(node: RedisServer) -> bytes:
    with node.connect() as client:
        client.set_response_callback("CLUSTER INFO", bytes)
        return bytes(client.execute_command("CLUSTER INFO"))


async def test_a_cluster(models: Path, tmp_path: Path) -> None:
    with cluster(tmp_path) as nodes:
        for node in nodes:
            tell(node, *documented_user("cluster"))
        # The first node is not there: the next one is asked, and tells of the others.
        await check(models, f"redis+cluster://neumeta:secret@127.0.0.1:{free_port()},127.0.0.1:{nodes[1].port}")
        sizes = [tell(node, "DBSIZE") for node in nodes]
        assert sum(sizes) == 3 * len(COMPRESSIONS)
        assert sum(size > 0 for size in sizes) > 1, "entries are spread"


async def test_a_node_that_dies_fails_no_request(models: Path, tmp_path: Path) -> None:
    with cluster(tmp_path, "--cluster-require-full-coverage", "no") as nodes:
        async with in_process(tiny_app(models, redis_url=f"redis+cluster://127.0.0.1:{nodes[0].port}", cache_bytes=0)) as client:
            assert await ask(client) == ["built"] * 4
            for step in range(16):
                await client.post(POST, json={"compression": 0.75 * step / 15})
            # Where an entry lies depends on the machine that made it.
            max(nodes[1:], key=lambda node: len(tell(node, "KEYS", "*:meta"))).kill()
            for step in range(16):
                assert (await client.post(POST, json={"compression": 0.75 * step / 15})).status_code == 200
            assert await errors(client)


async def test_a_cluster_with_tls(models: Path, tmp_path: Path, certificates: Path) -> None:
    port = free_port()
    clustered = ["--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1", "--cluster-port", free_port(), "--tls-cluster", "yes"]
    with server(tmp_path / "one", *clustered, *tls(certificates, port)) as node:
        tell(node, "CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        wait_for(lambda: b"cluster_state:ok" in cluster_info(node))
        await check(models, f"rediss+cluster://127.0.0.1:{port}?ssl_ca_certs={certificates / 'ca.pem'}")
