"""How the service stops: real processes, sockets and signals; builds that wait until the test lets them go on."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.service.held import held_service
from tests.service.serving import POST, posting, wait_for


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
