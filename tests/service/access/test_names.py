"""A service that is asked by another host's name."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.service.redis_server import free_port
from tests.service.serving import POST, in_process, tiny_app
from tests.service.test_main import command, wait_until_it_serves


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("host", "is_own"),
    [
        ("localhost", True),
        ("LOCALHOST.:8080", True),
        ("models.example:443", True),
        ("127.0.0.1", True),
        ("127.0.0.1:8080", True),
        ("[::1]:8080", True),
        ("[::1]", True),
        ("evil.example", False),
        ("evil.example:8080", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("localhost:evil.example", False),
        (":8080", False),
        ("", False),
    ],
)
async def test_setting_allowed_hosts(models: Path, host: str, is_own: bool) -> None:
    async with in_process(tiny_app(models, allowed_hosts="localhost, Models.Example")) as client:
        for answer in (
            await client.get("/v1/models", headers={"host": host}),
            await client.post(POST, json={"compression": 0.5}, headers={"host": host}),
            await client.get("/livez", headers={"host": host}),
        ):
            assert answer.status_code == (200 if is_own else 421)
            assert is_own or answer.json()["code"] == "misdirected"


@pytest.mark.anyio
async def test_without_the_setting_every_name_will_do(models: Path) -> None:
    async with in_process(tiny_app(models)) as client:
        assert (await client.get("/v1/models", headers={"host": "whatever.example"})).status_code == 200


def test_the_command_on_loopback_answers_to_no_other_name(models: Path, tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with command(tmp_path / "log", models=models, port=port, device="cpu") as process:
        wait_until_it_serves(process, url)
        assert [httpx.get(f"{url}/v1/models", headers={"host": host}).status_code for host in ("evil.example", f"localhost:{port}")] == [421, 200]
        process.terminate()
        assert process.wait(60) == 0
