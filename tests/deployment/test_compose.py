from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from httpx import ASGITransport, AsyncClient
from neumeta_service.http.server import Server
from neumeta_service.settings import Settings

from tests.deployment.files import COMPOSE_FILE, ROOT, compose, instructions, with_defaults
from tests.service.serving import tiny_app

SERVICES: dict[str, dict[str, Any]] = compose()["services"]
LONG_RUNNING = ["service", "service-gpu", "proxy", "redis", "prometheus", "grafana"]

each_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)


def check_schema(file: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_file_obeys_the_compose_schema() -> None:
    checked = check_schema(COMPOSE_FILE)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_schema_refuses_a_misspelt_key(tmp_path: Path) -> None:
    document = compose()
    document["services"]["redis"]["readonly"] = True
    (tmp_path / "docker-compose.yml").write_text(yaml.safe_dump(document))
    assert check_schema(tmp_path / "docker-compose.yml").returncode == 1


def test_what_starts_by_itself_and_what_needs_a_profile() -> None:
    assert {name: service.get("profiles", []) for name, service in SERVICES.items()} == {
        "service": [],
        "service-gpu": ["gpu"],
        "proxy": [],
        "redis": [],
        "prometheus": ["observe"],
        "grafana": ["observe"],
        "trainer": ["train"],
    }


@each_service
def test_the_root_file_system_is_read_only(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert all(":size=" in mount for mount in service["tmpfs"])


@each_service
def test_nothing_runs_as_root(service: dict[str, Any]) -> None:
    user = service.get("user")
    if user is None:
        user = instructions(ROOT / service["build"]["dockerfile"], "USER")[-1].value
    assert all(int(number) >= 10000 for number in user.split(":"))


@each_service
def test_privileges_are_dropped(service: dict[str, Any]) -> None:
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.keys() & {"cap_add", "privileged", "pid", "ipc", "devices"}


@each_service
def test_memory_processes_and_logs_are_limited(service: dict[str, Any]) -> None:
    assert service["deploy"]["resources"]["limits"].keys() >= {"memory", "pids"}
    assert service["logging"]["options"].keys() >= {"max-size", "max-file"}


@each_service
def test_images_carry_a_version_or_a_variant(service: dict[str, Any]) -> None:
    assert service["image"].partition(":")[2] not in ("", "latest")


@each_service
def test_ports_are_published_on_loopback(service: dict[str, Any]) -> None:
    for port in service.get("ports", []):
        assert with_defaults(port["host_ip"]) == "127.0.0.1"


@each_service
def test_bind_mounts_are_read_only_save_the_results_of_training(service: dict[str, Any]) -> None:
    for mount in [mount for mount in service.get("volumes", []) if mount["type"] == "bind"]:
        assert mount["bind"]["create_host_path"] is False
        assert mount.get("read_only", False) is (mount["target"] != "/runs")


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_what_runs_long_is_restarted_and_has_a_health_check(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    in_image = "build" in service and instructions(ROOT / service["build"]["dockerfile"], "HEALTHCHECK")
    assert "healthcheck" in service or in_image


@pytest.mark.parametrize("name", ["service", "service-gpu"])
def test_the_service_waits_for_a_healthy_redis(name: str) -> None:
    assert SERVICES[name]["depends_on"] == {"redis": {"condition": "service_healthy"}}


def test_the_proxy_waits_for_a_healthy_service() -> None:
    assert SERVICES["proxy"]["depends_on"] == {"service": {"condition": "service_healthy", "restart": True}}


@pytest.mark.parametrize("name", ["service", "service-gpu"])
def test_the_service_has_time_to_leave(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The grace, then requests in flight, then the second in which the process ends itself."""
    drain_s = with_defaults(SERVICES[name]["environment"]["NEUMETA_DRAIN_S"])
    monkeypatch.delenv("NEUMETA_SHUTDOWN_S", raising=False)
    assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) > float(drain_s) + Settings().shutdown_s + 1


@pytest.mark.anyio
@pytest.mark.parametrize(("peer", "counted"), [("172.18.0.5", "198.51.100.1"), ("192.168.16.4", "198.51.100.1"), ("203.0.113.9", "203.0.113.9")])
async def test_rate_limits_see_the_address_that_the_proxy_saw(models: Path, peer: str, counted: str) -> None:
    trusted = with_defaults(SERVICES["service"]["environment"]["NEUMETA_TRUSTED_PROXIES"])
    server = Server(tiny_app(models, rate_limit="1/day"), Settings(trusted_proxies=trusted))
    server.config.load()
    through, direct = (ASGITransport(server.config.loaded_app, client=(address, 1)) for address in (peer, counted))
    async with AsyncClient(transport=through, base_url="http://n") as proxied, AsyncClient(transport=direct, base_url="http://n") as client:
        assert (await proxied.get("/v1/models", headers={"x-forwarded-for": "198.51.100.1"})).status_code == 200
        assert (await client.get("/v1/models")).status_code == 429


def test_a_service_with_a_port_of_its_own_believes_no_proxy() -> None:
    assert SERVICES["service-gpu"]["ports"]
    assert SERVICES["service-gpu"]["environment"]["NEUMETA_TRUSTED_PROXIES"] is None
    assert "ports" not in SERVICES["service"]


def test_everything_can_run_side_by_side() -> None:
    published = {name: [with_defaults(port["published"]) for port in SERVICES[name]["ports"]] for name in LONG_RUNNING if "ports" in SERVICES[name]}
    assert published == {"service-gpu": ["8081"], "proxy": ["8080"], "prometheus": ["9090"], "grafana": ["3000"]}


def test_the_service_can_be_scaled() -> None:
    """What only one container can have is not the service's: a port of the host, or a name."""
    assert not SERVICES["service"].keys() & {"ports", "container_name", "network_mode", "hostname"}
    assert SERVICES["service"]["expose"] == [str(port["target"]) for port in SERVICES["proxy"]["ports"]]


def test_only_the_gpu_variant_reserves_a_gpu() -> None:
    reserved = {name: service["deploy"]["resources"].get("reservations") for name, service in SERVICES.items()}
    assert reserved.pop("service-gpu") == {"devices": [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]}
    assert set(reserved.values()) == {None}


def test_redis_is_reached_by_the_services_alone() -> None:
    assert compose()["networks"]["cache"]["internal"] is True
    assert SERVICES["redis"]["networks"] == ["cache"]
    assert "ports" not in SERVICES["redis"]
    assert SERVICES["trainer"]["network_mode"] == "none"
