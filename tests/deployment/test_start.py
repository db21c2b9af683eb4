"""What the containers run, without containers: the image's environment, command and health check, and compose's Redis."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from tests.deployment.files import SERVICE_DOCKERFILE, compose, image_environment, instructions
from tests.service.redis_server import free_port
from tests.tiny import save_tiny

LIMIT_S = 300


@dataclass(frozen=True)
class Container:
    """A command that runs as a plain process, and the health check that comes with it."""

    process: subprocess.Popen[bytes]
    port: int
    health_check: list[str]
    environment: dict[str, str]

    def is_healthy(self) -> bool:
        return subprocess.run(self.health_check, env=self.environment, capture_output=True, check=False).returncode == 0

    def wait_until_healthy(self) -> None:
        wait_for(lambda: self.is_healthy() or self.process.poll() is not None)
        assert self.is_healthy()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(LIMIT_S)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture
def redis_container(tmp_path: Path) -> Iterator[Container]:
    service, port = compose()["services"]["redis"], free_port()
    here = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(tmp_path)]
    kind, program, *check = service["healthcheck"]["test"]
    assert kind == "CMD"
    with subprocess.Popen([*service["entrypoint"], *service["command"], *here], stdout=subprocess.DEVNULL) as process:
        yield Container(process, port, [program, "-p", str(port), *check], dict(os.environ))
        process.kill()


@pytest.fixture
def service_container(tmp_path: Path, redis_container: Container) -> Iterator[Container]:
    save_tiny(tmp_path / "models")
    port = free_port()
    image = {name: value for name, value in image_environment(SERVICE_DOCKERFILE).items() if name != "PATH"}
    here = {"NEUMETA_HOST": "127.0.0.1", "NEUMETA_PORT": str(port), "NEUMETA_MODELS": str(tmp_path / "models")}
    environment = {**os.environ, **image, **here, "NEUMETA_REDIS_URL": f"redis://127.0.0.1:{redis_container.port}/0"}
    [command] = [step.exec_form() for step in instructions(SERVICE_DOCKERFILE, "CMD")]
    [(python, *check)] = [step.exec_form() for step in instructions(SERVICE_DOCKERFILE, "HEALTHCHECK")]
    assert python == "python"
    with subprocess.Popen([Path(sys.executable).parent / command[0], *command[1:]], env=environment) as process:
        yield Container(process, port, [sys.executable, *check], environment)
        process.kill()


def test_the_service_becomes_healthy_and_stops_in_order_on_sigterm(service_container: Container) -> None:
    service_container.wait_until_healthy()
    assert service_container.stop() == 0
    assert not service_container.is_healthy()


def test_redis_becomes_healthy_forgets_the_least_used_and_writes_nothing(redis_container: Container) -> None:
    redis_container.wait_until_healthy()
    with redis.Redis(port=redis_container.port) as client:
        settings = client.config_get("maxmemory*", "save", "appendonly")
    assert settings["maxmemory-policy"] == "allkeys-lfu"
    assert int(settings["maxmemory"]) == 512 * 1024 * 1024
    assert (settings["save"], settings["appendonly"]) == ("", "no")
    assert redis_container.stop() == 0
    assert not redis_container.is_healthy()
