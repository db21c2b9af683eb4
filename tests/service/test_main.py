"""The command, as a process."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from neumeta_service.__main__ import main
from neumeta_service.settings import Settings, variable

from tests.service.redis_server import free_port
from tests.service.serving import POST, wait_for


@contextmanager
def command(log: Path, **settings: object) -> Iterator[subprocess.Popen[bytes]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NEUMETA_")}
    environment |= {f"NEUMETA_{name.upper()}": str(value) for name, value in settings.items()}
    with log.open("wb") as stream:
        process = subprocess.Popen([sys.executable, "-m", "neumeta_service"], env=environment, stdout=stream, stderr=stream)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def wait_until_it_serves(process: subprocess.Popen[bytes], url: str) -> None:
    def answers() -> bool:
        assert process.poll() is None, "the command ended"
        with suppress(httpx.TransportError):
            return httpx.get(f"{url}/livez").status_code == 200
        return False

    wait_for(answers)


def test_serves_until_interrupted(models: Path, tmp_path: Path) -> None:
    log, port = tmp_path / "log", free_port()
    url = f"http://127.0.0.1:{port}"
    with command(log, models=models, port=port, device="cpu") as process:
        wait_until_it_serves(process, url)
        response = httpx.post(f"{url}{POST}", json={"compression": 0.5}, headers={"x-request-id": "from-the-test"})
        assert response.status_code == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    lines = log.read_text().splitlines()
    assert not [line for line in lines if "Traceback" in line or "WARNING" in line or "ERROR" in line]
    served = [line for line in lines if POST in line]
    assert len(served) == 1
    assert "INFO" in served[0]
    assert "[from-the-test]" in served[0]
    assert " 200 built key=" in served[0]


def test_setting_host_and_port_and_log_level(models: Path, tmp_path: Path) -> None:
    log, port = tmp_path / "log", free_port()
    with command(log, models=models, host="127.0.0.2", port=port, log_level="warning", device="cpu") as process:
        wait_until_it_serves(process, f"http://127.0.0.2:{port}")
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://127.0.0.1:{port}/livez")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert log.read_text() == ""


def test_setting_log_format(models: Path, tmp_path: Path) -> None:
    log, port = tmp_path / "log", free_port()
    url = f"http://127.0.0.1:{port}"
    with command(log, models=models, port=port, device="cpu", log_format="json") as process:
        wait_until_it_serves(process, url)
        built = httpx.post(f"{url}{POST}", json={"compression": 0.5}, headers={"x-request-id": "from-the-test"})
        httpx.get(f"{url}/v1/models/%0aforged")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    documents = [json.loads(line) for line in log.read_text().splitlines()]
    assert all({"time", "level", "logger", "message", "request_id"} <= document.keys() for document in documents)
    [served] = [document for document in documents if document["request_id"] == "from-the-test"]
    assert served["message"].startswith(f"POST {POST} 200 built key={served['spec'][:16]} ")
    facts = {"method": "POST", "path": POST, "status": 200, "outcome": "built", "operation": "materialize", "tier": "built", "model": "tiny"}
    assert facts.items() <= served.items()
    assert f'"{served["digest"]}"' == built.headers["etag"]
    assert served["sent_bytes"] == len(built.content)
    assert served["stages_ms"].keys() == {"cache", "queue", "inr", "onnx"}
    assert served["duration_ms"] >= max(served["stages_ms"].values())
    [strange] = [document for document in documents if document.get("outcome") == "model_not_found"]
    assert strange["path"] == "/v1/models/%0Aforged"
    assert "tier" not in strange


@pytest.mark.parametrize(("name", "value"), [("NEUMETA_PROT", "1"), ("NEUMETA_PORT", "eighty"), ("NEUMETA_DEVICE", "cuda:99")])
def test_a_wrong_setting_ends_it_with_one_sentence(models: Path, name: str, value: str) -> None:
    environment = os.environ | {"NEUMETA_MODELS": str(models), name: value}
    done = subprocess.run([sys.executable, "-m", "neumeta_service"], env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    message = done.stderr.splitlines()
    assert len(message) == 1
    assert message[0].startswith("neumeta-service: ")


def test_help_names_every_setting_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    for name, field in Settings.model_fields.items():
        assert f"\n  {variable(name)} [{'none' if field.default is None else field.default}]\n" in shown


@pytest.mark.parametrize("arguments", [["--port", "9000"], ["serve"]], ids=str)
def test_who_types_a_setting_as_an_option_is_told_how_it_is_set(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "Settings are environment variables, like NEUMETA_PORT=8090 neumeta-service" in capsys.readouterr().err


@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.1", "no.such.host.invalid"])
def test_where_it_cannot_listen_it_says_so_before_it_loads_anything(
    models: Path, host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = {"MODELS": str(models), "HOST": host, "PORT": str(taken.getsockname()[1]), "ALLOW_ANONYMOUS": "1", "DEVICE": "none such"}
        for name, value in settings.items():
            monkeypatch.setenv(f"NEUMETA_{name}", value)
        with pytest.raises(SystemExit) as caught:
            main([])
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith(
        f"neumeta-service: NEUMETA_HOST is {host} and NEUMETA_PORT {settings['PORT']}, where nobody can listen: "
    )


def test_interrupted_while_it_starts_it_ends_without_a_trace_of_calls(models: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with command(log, models=models, port=free_port(), device="cpu") as process:
        wait_for(lambda: "neumeta_service" in Path(f"/proc/{process.pid}/cmdline").read_text())
        # Its modules are being imported once it has a library of PyTorch's.
        wait_for(lambda: "libtorch" in Path(f"/proc/{process.pid}/maps").read_text())
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert "Traceback" not in log.read_text()
