"""Settings of access: their effect, and what a wrong one gets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from neumeta_service.access import enclosed
from neumeta_service.app import create_app
from neumeta_service.settings import Settings, SettingsError, load_settings

from tests.service.access.tokens import AUDIENCE, ISSUER, IdentityProvider, add_key, bearer
from tests.service.redis_server import free_port
from tests.service.serving import in_process, tiny_app
from tests.service.test_main import command, wait_until_it_serves

pytestmark = pytest.mark.anyio


async def test_setting_api_keys_file(models: Path, tmp_path: Path) -> None:
    token = add_key(tmp_path / "keys.json")
    async with in_process(tiny_app(models, api_keys_file=tmp_path / "keys.json")) as client:
        assert (await client.get("/v1/models")).status_code == 401
        assert (await client.get("/v1/models", headers=bearer(token))).status_code == 200
    with pytest.raises(SettingsError, match=r"nowhere\.json cannot be read"):
        tiny_app(models, api_keys_file=tmp_path / "nowhere.json")


async def test_setting_jwt_keys_file_and_jwt_issuer_and_jwt_audience(models: Path, tmp_path: Path) -> None:
    provider = IdentityProvider()
    file = provider.publish(tmp_path / "jwks.json")
    for issuer, audience, status in ((ISSUER, AUDIENCE, 200), ("other", AUDIENCE, 401), (ISSUER, "other", 401)):
        async with in_process(tiny_app(models, jwt_keys_file=file, jwt_issuer=issuer, jwt_audience=audience)) as client:
            assert (await client.get("/v1/models", headers=bearer(provider.token()))).status_code == status
    for given in ({}, {"jwt_issuer": ISSUER}, {"jwt_audience": AUDIENCE}):
        with pytest.raises(SettingsError, match="NEUMETA_JWT_ISSUER and NEUMETA_JWT_AUDIENCE"):
            tiny_app(models, jwt_keys_file=file, **given)


def test_without_pyjwt_the_start_says_what_to_install(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jwt", None)
    with pytest.raises(SettingsError, match=r"neumeta-server\[jwt\]"):
        tiny_app(models, jwt_keys_file=tmp_path / "jwks.json", jwt_issuer=ISSUER, jwt_audience=AUDIENCE)


def test_setting_allow_anonymous(models: Path) -> None:
    enclosed(Settings(models=models, host="0.0.0.0", allow_anonymous=True))
    with pytest.raises(SettingsError):
        enclosed(Settings(models=models, host="0.0.0.0", allow_anonymous=False))


async def test_setting_rate_limit(models: Path) -> None:
    async with in_process(tiny_app(models, rate_limit="1/day")) as client:
        assert [(await client.get("/v1/models")).status_code for _ in range(2)] == [200, 429]


@pytest.mark.parametrize(("trusted", "expected"), [({}, [200, 429]), ({"trusted_proxies": "192.0.2.0/24, 127.0.0.1"}, [200, 200])])
def test_setting_trusted_proxies(models: Path, tmp_path: Path, trusted: dict[str, str], expected: list[int]) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with command(tmp_path / "log", models=models, port=port, device="cpu", rate_limit="1/day", **trusted) as process:
        wait_until_it_serves(process, url)
        given = [httpx.get(f"{url}/v1/models", headers={"x-forwarded-for": f"198.51.100.{number}"}).status_code for number in range(2)]
    assert given == expected


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        *[
            ("NEUMETA_RATE_LIMIT", rate, "NEUMETA_RATE_LIMIT: .*600/minute")
            for rate in ("often", "0/minute", "5/minute; 1/second", "-1/day", "5/eon")
        ],
        *(
            ("NEUMETA_ALLOWED_HOSTS", value, r"NEUMETA_ALLOWED_HOSTS: .* is no name of a host; expected names like models\.example\.org")
            for value in ("*", "*.example.org", "https://example.org", "example.org:8443", ",", "a,,b")
        ),
        ("NEUMETA_TRUSTED_PROXIES", "*", r"NEUMETA_TRUSTED_PROXIES: .*'\*' does not appear to be an IPv4 or IPv6 network"),
        ("NEUMETA_ALLOW_ANONYMOUS", "perhaps", "NEUMETA_ALLOW_ANONYMOUS: .*boolean"),
    ],
)
def test_a_wrong_setting_is_a_sentence(monkeypatch: pytest.MonkeyPatch, models: Path, name: str, value: str, sentence: str) -> None:
    monkeypatch.setenv("NEUMETA_MODELS", str(models))
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=sentence):
        load_settings()


def test_a_file_that_cannot_be_used_ends_the_command_with_one_sentence(models: Path, tmp_path: Path) -> None:
    environment = os.environ | {"NEUMETA_MODELS": str(models), "NEUMETA_API_KEYS_FILE": str(tmp_path / "nowhere.json")}
    done = subprocess.run([sys.executable, "-m", "neumeta_service"], env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "nowhere.json cannot be read" in done.stderr.splitlines()[-1]


def test_an_app_without_access_settings_takes_no_part_of_it(models: Path) -> None:
    names = [middleware.cls.__name__ for middleware in create_app(Settings(models=models)).user_middleware]
    assert not {"AccessControl", "RateLimit"} & set(names)
