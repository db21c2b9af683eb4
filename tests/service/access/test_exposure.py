"""The command does not put a service that asks for no token where others reach it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from neumeta_service.__main__ import main
from neumeta_service.access import enclosed
from neumeta_service.settings import Settings, SettingsError


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_loopback_needs_nothing(models: Path, host: str) -> None:
    assert enclosed(Settings(models=models, host=host)).allowed_hosts == "localhost"


@pytest.mark.parametrize(
    "choice",
    [{"api_keys_file": "/keys.json"}, {"allowed_hosts": "models.example"}, {"trusted_proxies": "127.0.0.1"}, {"host": "::", "allow_anonymous": True}],
)
def test_what_the_operator_has_chosen_stays(models: Path, choice: dict[str, Any]) -> None:
    settings = Settings(models=models, **choice)
    assert enclosed(settings) == settings


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "2001:db8::1", "example.org", "0", "localhost.example.org"])
@pytest.mark.parametrize("answer", [{"api_keys_file": "/keys.json"}, {"jwt_keys_file": "/jwks.json"}, {"allow_anonymous": True}], ids=str)
def test_another_address_needs_an_answer(models: Path, host: str, answer: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=r"NEUMETA_API_KEYS_FILE .* NEUMETA_JWT_KEYS_FILE.* NEUMETA_ALLOW_ANONYMOUS=1"):
        enclosed(Settings(models=models, host=host))
    enclosed(Settings(models=models, host=host, **answer))


def test_the_command_stops_before_it_listens(models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("NEUMETA_MODELS", str(models))
    monkeypatch.setenv("NEUMETA_HOST", "0.0.0.0")
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("neumeta-service: NEUMETA_HOST is 0.0.0.0, where other machines reach the service")
