"""How the service stops: real processes, sockets and signals; builds that wait until the test lets them go on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.service.redis_server import free_port
from tests.service.serving import POST, posting, wait_for

ROOT = Path(__file__).parents[2]


@dataclass
class HeldService:
    process: subprocess.Popen[bytes]
    client: httpx.Client
    folder: Path

    def post(self, compression: float) -> httpx.Response:
        return self.client.post(POST, json={"compression": compression})

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def wait_for_build(self) -> None:
        wait_for((self.folder / "began").exists)

    def open_gate(self) -> None:
        (self.folder / "gate").touch()

    def answers(self, path: str = "/livez") -> bool:
        """A connection of its own: whether one is accepted is the question."""
        assert self.process.poll() is None, "the service ended"
        with suppress(httpx.TransportError):
            return httpx.get(self.client.base_url.join(path)).status_code == 200
        return False


@contextmanager
def held_service(models: Path, folder: Path, **settings: object) -> Iterator[HeldService]:
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NEUMETA_")}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")])
    environment |= {"HELD": str(folder), "NEUMETA_MODELS": str(models), "NEUMETA_PORT": str(port), "NEUMETA_DEVICE": "cpu"}
    environment |= {f"NEUMETA_{name.upper()}": str(value) for name, value in settings.items()}
    process = subprocess.Popen([sys.executable, "-m", "tests.service.held_service"], env=environment, cwd=ROOT)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
            service = HeldService(process, client, folder)
            wait_for(service.answers)
            yield service
    finally:
        process.kill()
        process.wait()


def test_requests_in_flight_are_finished(models: Path, tmp_path: Path) -> None:
    with held_service(models, tmp_path, shutdown_s=100) as service, ThreadPoolExecutor() as threads:
        answers = [threads.submit(service.post, compression) for compression in (0, 0.25, 0.5)]
        service.wait_for_build()
        wait_for(lambda: "neumeta_queue_depth 3.0" in service.client.get("/metrics").text)
        service.terminate()
        wait_for(lambda: not service.answers())
        service.open_gate()
        assert [answer.result().status_code for answer in answers] == [200, 200, 200]
        assert service.process.wait(120) == 0


def test_setting_drain_s(models: Path, tmp_path: Path) -> None:
    with held_service(models, tmp_path, drain_s=3600) as service:
        service.open_gate()
        assert service.answers("/readyz")
        service.terminate()
        wait_for(lambda: not service.answers("/readyz"))
        refused = httpx.get(service.client.base_url.join("/readyz"))
        assert (refused.status_code, refused.json()["code"]) == (503, "draining")
        assert service.answers("/livez"), "alive, or it would be killed"
        assert service.post(0.5).status_code == 200, "who comes is served"


def test_the_grace_ends(models: Path, tmp_path: Path) -> None:
    with held_service(models, tmp_path, drain_s=0.3) as service:
        service.terminate()
        assert service.process.wait(120) == 0


def test_a_second_signal_ends_it_at_once(models: Path, tmp_path: Path) -> None:
    with held_service(models, tmp_path, drain_s=3600) as service, posting(service.client):
        service.wait_for_build()
        service.terminate()
        wait_for(lambda: not service.answers("/readyz"))
        service.terminate()
        assert service.process.wait(120) == 0


def test_setting_shutdown_s(models: Path, tmp_path: Path) -> None:
    with held_service(models, tmp_path, shutdown_s=1) as service, posting(service.client):
        service.wait_for_build()  # It never ends.
        service.terminate()
        assert service.process.wait(120) == 0


@pytest.mark.parametrize("sent", [b"GET /livez", f"POST {POST} HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{{".encode()])
def test_a_client_that_hangs_does_not_hold_it(models: Path, tmp_path: Path, sent: bytes) -> None:
    with held_service(models, tmp_path, shutdown_s=1) as service:
        address = service.client.base_url.host, service.client.base_url.port or 0
        with socket.create_connection(address) as connection:
            connection.sendall(sent)
            assert service.answers()
            service.terminate()
            assert service.process.wait(120) == 0
