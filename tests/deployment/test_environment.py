"""Names in the deployment files are settings, and all settings can be reached."""

from __future__ import annotations

import re

import pytest
from neumeta_service.access import enclosed
from neumeta_service.settings import Settings, SettingsError, variable

from tests.deployment.files import COMPOSE_FILE, ROOT, SERVICE_DOCKERFILE, compose, image_environment, with_defaults

SETTINGS = {variable(field) for field in Settings.model_fields}
DATA = "NEUMETA_DATA"  # The trainer's; the service passes it over.
EXAMPLE = (ROOT / ".env.example").read_text()
EXAMPLES = dict(re.findall(r"^# ([A-Z_]+)=(.*)$", EXAMPLE, re.MULTILINE))


def test_the_example_sets_nothing() -> None:
    assert all(not line or line.startswith("# ") for line in EXAMPLE.splitlines())


def test_the_example_names_every_setting_and_no_other() -> None:
    assert {name for name in EXAMPLES if name.startswith("NEUMETA_")} - {DATA} == SETTINGS


def test_the_example_gives_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    defaults = Settings()
    for name in SETTINGS:
        monkeypatch.setenv(name, EXAMPLES[name])
    assert Settings() == defaults


def test_compose_names_only_variables_of_the_example() -> None:
    assert set(re.findall(r"\$\{(\w+)", COMPOSE_FILE.read_text())) <= EXAMPLES.keys()


@pytest.mark.parametrize("name", ["service", "service-gpu"])
def test_every_setting_reaches_the_container(name: str) -> None:
    passed = {key for key in compose()["services"][name]["environment"] if key.startswith("NEUMETA_")}
    in_image = {key for key in image_environment(SERVICE_DOCKERFILE) if key.startswith("NEUMETA_")}
    assert passed | in_image == SETTINGS
    assert not passed & in_image


@pytest.mark.parametrize("name", ["service", "service-gpu"])
def test_mounts_and_ports_are_where_the_image_looks_for_them(name: str) -> None:
    service, image = compose()["services"][name], image_environment(SERVICE_DOCKERFILE)
    assert image["NEUMETA_HOST"] == "0.0.0.0"
    assert [mount["target"] for mount in service["volumes"]] == [image["NEUMETA_MODELS"], "/access", "/profiles"]
    assert with_defaults(service["environment"]["NEUMETA_PROFILES"]) == "/profiles"
    ports = [str(port["target"]) for port in service.get("ports", [])] + service.get("expose", [])
    assert ports == [image["NEUMETA_PORT"]]


@pytest.mark.parametrize("name", ["service", "service-gpu"])
def test_the_container_starts_without_keys_and_the_bare_image_does_not(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(ROOT)
    environment = {key: value for key, value in image_environment(SERVICE_DOCKERFILE).items() if key in SETTINGS} | {"NEUMETA_MODELS": "models"}
    passed = {key: with_defaults(value or "") for key, value in compose()["services"][name]["environment"].items()}
    for key in SETTINGS:
        monkeypatch.setenv(key, environment.get(key, ""))
    with pytest.raises(SettingsError, match="NEUMETA_ALLOW_ANONYMOUS=1"):
        enclosed(Settings())
    for key in SETTINGS:
        monkeypatch.setenv(key, {**passed, **environment}.get(key, ""))
    enclosed(Settings())


def test_the_trainer_finds_its_mounts() -> None:
    image = image_environment(ROOT / "docker" / "trainer.Dockerfile")
    assert [mount["target"] for mount in compose()["services"]["trainer"]["volumes"]] == [image[DATA], "/runs"]
