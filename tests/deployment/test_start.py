"""What the containers run, without containers: the image's environment, command and health check, and compose's Redis."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deployment.files import SERVICE_DOCKERFILE, compose, image_environment, instructions
from tests.service.redis_server import RedisServer, free_port
from tests.tiny import save_tiny

LIMIT_S = 120


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start(*compose()["services"]["redis"]["command"])
    yield server
    server.kill()


@pytest.fixture
def environment(tmp_path: Path, redis_server: RedisServer) -> dict[str, str]:
    save_tiny(tmp_path / "models")
    image = {name: value for name, value in image_environment(SERVICE_DOCKERFILE).items() if name != "PATH"}
    here = {"NEUMETA_HOST": "127.0.0.1", "NEUMETA_PORT": str(free_port()), "NEUMETA_MODELS": str(tmp_path / "models")}
    return {**os.environ, **image, **here, "NEUMETA_REDIS_URL": redis_server.url}


@pytest.fixture
def service(environment: dict[str, str], tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    [command] = [step.exec_form() for step in instructions(SERVICE_DOCKERFILE, "CMD")]
    folder = Path(sys.executable).parent
    with (tmp_path / "service.log").open("wb") as log:
        process = subprocess.Popen([folder / command[0], *command[1:]], env=environment, stderr=log)
    yield process
    process.kill()
    process.wait()


def is_healthy(environment: dict[str, str]) -> bool:
    """Run the image's health check."""
    [check] = [step.exec_form() for step in instructions(SERVICE_DOCKERFILE, "HEALTHCHECK")]
    assert check[0] == "python"
    return subprocess.run([sys.executable, *check[1:]], env=environment, stderr=subprocess.DEVNULL, check=False).returncode == 0


def test_the_service_becomes_healthy_and_stops_in_order_on_sigterm(service: subprocess.Popen[bytes], environment: dict[str, str], tmp_path: Path) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not is_healthy(environment):
        assert service.poll() is None, (tmp_path / "service.log").read_text()
        assert time.monotonic() < deadline, (tmp_path / "service.log").read_text()
        time.sleep(0.1)
    service.send_signal(signal.SIGTERM)
    assert service.wait(LIMIT_S) == 0, (tmp_path / "service.log").read_text()
    assert not is_healthy(environment)


def test_redis_forgets_the_least_used_and_writes_nothing(redis_server: RedisServer) -> None:
    with redis_server.connect() as client:
        settings = client.config_get("maxmemory*", "save", "appendonly")
    assert settings["maxmemory-policy"] == "allkeys-lfu"
    assert int(settings["maxmemory"]) == 512 * 1024 * 1024
    assert (settings["save"], settings["appendonly"]) == ("", "no")


def test_redis_has_a_health_check_that_notices_a_dead_server(redis_server: RedisServer) -> None:
    kind, program, *arguments = compose()["services"]["redis"]["healthcheck"]["test"]
    assert kind == "CMD"
    command = [program, "-p", str(redis_server.port), *arguments]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    redis_server.kill()
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0
