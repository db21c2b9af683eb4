"""The program ``held_service`` as a process: a service whose builds wait until the test lets them go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.service.redis_server import free_port
from tests.service.serving import POST, wait_for

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
