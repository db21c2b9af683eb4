"""``neumeta-service api-keys``, and a service that follows what it does."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from neumeta_service.__main__ import main
from neumeta_service.access.keys import read_key_ring, read_keys

from tests.service.access.tokens import bearer
from tests.service.redis_server import free_port
from tests.service.serving import wait_for
from tests.service.test_main import command, wait_until_it_serves


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "keys.json"
    monkeypatch.setenv("NEUMETA_API_KEYS_FILE", str(path))
    return path


def token_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["api-keys", "new", *arguments]) == 0
    return capsys.readouterr().out.removesuffix("\n")


def failure(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as caught:
        main(["api-keys", *arguments])
    assert caught.value.code == 2
    return capsys.readouterr().err


def test_new_prints_a_token_that_works(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    device = token_of(capsys)
    operator = token_of(capsys, "--scopes", "admin,read", "--expires", "2040-02-03", "--rate", "5/minute")
    ring = read_key_ring(file)
    found = ring.find(device)
    assert found is not None
    assert found.scopes == {"read", "materialize"}
    found = ring.find(operator)
    assert found is not None
    assert (found.scopes, found.expires_at, str(found.rate)) == ({"admin", "read"}, 2211840000.0, "5 per 1 minute")


@pytest.mark.usefixtures("file")
def test_list_shows_all_but_the_token(capsys: pytest.CaptureFixture[str]) -> None:
    device, operator = token_of(capsys), token_of(capsys, "--scopes", "admin", "--expires", "2040-02-03T12:00:00+02:00", "--rate", "5/minute")
    assert main(["api-keys", "list"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{device[3:11]}  read,materialize  expires never  rate general",
        f"{operator[3:11]}  admin  expires 2040-02-03T10:00:00+00:00  rate 5/minute",
    ]


def test_revoke_takes_one_out(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = token_of(capsys), token_of(capsys)
    assert main(["api-keys", "revoke", first[3:11]]) == 0
    assert [key.id for key in read_keys(file)] == [second[3:11]]
    assert "has no key" in failure(capsys, "revoke", first[3:11])


def test_keys_made_at_once_are_all_kept(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    revoked = token_of(capsys)[3:11]
    commands = [["new"]] * 6 + [["revoke", revoked]] + [["new"]] * 6
    with ThreadPoolExecutor(len(commands)) as threads:
        assert set(threads.map(lambda command: main(["api-keys", *command]), commands)) == {0}
    assert {key.id for key in read_keys(file)} == {token[3:11] for token in capsys.readouterr().out.split()}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--scopes", "read,root"], "expected one or several of admin, materialize, profile, read"),
        (["--expires", "soon"], "expected a date"),
        (["--rate", "often"], "600/minute"),
        (["--file", "/nowhere/keys.json"], "/nowhere/keys.json cannot be written: No such file or directory"),
    ],
)
def test_what_cannot_be_is_a_sentence(file: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str) -> None:
    said = failure(capsys, "new", *arguments)
    assert sentence in said
    assert "Settings are environment variables" not in said
    assert not file.exists()


def test_without_a_file_it_asks_for_one(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEUMETA_API_KEYS_FILE", raising=False)
    assert "NEUMETA_API_KEYS_FILE" in failure(capsys, "list")


def test_a_running_service_follows(file: Path, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log, port = tmp_path / "log", free_port()
    url = f"http://127.0.0.1:{port}"
    first = token_of(capsys)
    with command(log, models=models, port=port, device="cpu", api_keys_file=file) as process:
        wait_until_it_serves(process, url)

        def status(token: str) -> int:
            return httpx.get(f"{url}/v1/models", headers=bearer(token)).status_code

        assert status(first) == 200
        second = token_of(capsys)
        wait_for(lambda: status(second) == 200)
        assert main(["api-keys", "revoke", first[3:11]]) == 0
        wait_for(lambda: status(first) == 401)
        assert status(second) == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert first[12:] not in log.read_text()
