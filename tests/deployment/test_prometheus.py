"""Prometheus' configuration and rules, against the Compose file and a real ``/metrics``."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from tests.deployment.exposition import Exposed, check
from tests.deployment.files import ROOT, SERVICE_DOCKERFILE, compose, image_environment

FOLDER = ROOT / "docker" / "prometheus"
CONFIGURATION: dict[str, Any] = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
JOBS = {job["job_name"]: job for job in CONFIGURATION["scrape_configs"]}
ALERTS: list[dict[str, Any]] = [rule for group in yaml.safe_load((FOLDER / "rules.yml").read_text())["groups"] for rule in group["rules"]]
PROMTOOL = shutil.which("promtool") or ""

each_alert = pytest.mark.parametrize("alert", ALERTS, ids=[alert["alert"] for alert in ALERTS])
needs_promtool = pytest.mark.skipif(not PROMTOOL, reason="promtool is not installed (for example: apt-get install prometheus)")


def test_every_replica_of_both_variants_is_a_target() -> None:
    [found] = JOBS["neumeta"]["dns_sd_configs"]
    assert found["type"] == "A"
    assert str(found["port"]) == image_environment(SERVICE_DOCKERFILE)["NEUMETA_PORT"]
    services = compose()["services"]
    built_from = {name: service.get("build", {}).get("dockerfile") for name, service in services.items()}
    assert found["names"] == [name for name, dockerfile in built_from.items() if dockerfile == "docker/service.Dockerfile"]
    assert all("default" in services[name]["networks"] for name in found["names"])
    assert "networks" not in services["prometheus"]


def test_the_mounted_folder_holds_what_the_command_and_the_configuration_name() -> None:
    service = compose()["services"]["prometheus"]
    places = {mount["target"]: mount["source"] for mount in service["volumes"]}
    assert (ROOT / places["/etc/prometheus"]).resolve() == FOLDER
    assert "--config.file=/etc/prometheus/prometheus.yml" in service["command"]
    assert f"--storage.tsdb.path={next(target for target, source in places.items() if source in compose()['volumes'])}" in service["command"]
    assert [(FOLDER / name).is_file() for name in CONFIGURATION["rule_files"]] == [True]


def test_the_line_for_a_service_with_keys_names_a_file_beside_it_that_git_passes_over() -> None:
    [line] = re.findall("^    # (authorization: .*)$", (FOLDER / "prometheus.yml").read_text(), re.MULTILINE)
    with_token = yaml.safe_load((FOLDER / "prometheus.yml").read_text().replace(f"# {line}", line))
    [authorization] = [job["authorization"] for job in with_token["scrape_configs"] if "authorization" in job]
    assert JOBS["neumeta"].get("authorization") is None
    assert f"/docker/prometheus/{authorization['credentials_file']}" in (ROOT / ".gitignore").read_text().splitlines()
    assert f"docker/prometheus/{authorization['credentials_file']}" in (ROOT / "docs/operations.md").read_text()


@each_alert
def test_an_alert_asks_for_what_the_service_exposes(alert: dict[str, Any], series: Exposed, values: dict[str, set[str]]) -> None:
    check(alert["expr"], series, values)
    assert alert["labels"]["severity"] in ("critical", "warning")


@each_alert
def test_an_alert_leads_to_its_section_of_the_runbook(alert: dict[str, Any]) -> None:
    file, _, anchor = alert["annotations"]["runbook"].partition("#")
    assert re.search(f"^### {alert['alert']}$", (ROOT / file).read_text(), re.MULTILINE)
    assert anchor == alert["alert"].lower()
    assert alert["annotations"]["summary"].endswith(".")


def test_what_the_service_does_not_expose_is_refused(series: Exposed, values: dict[str, set[str]]) -> None:
    for wrong in (
        "neumeta_request_total",
        "neumeta_inflight{model='a'}",
        "sum by (width) (neumeta_inflight)",
        "neumeta_requests_total{outcome='hit'}",
    ):
        with pytest.raises(AssertionError):
            check(wrong, series, values)
    with pytest.raises(ValueError, match="parenthesis"):
        check("sum(", series, values)


@needs_promtool
def test_promtool_accepts_the_configuration_and_the_rules() -> None:
    checked = subprocess.run([PROMTOOL, "check", "config", str(FOLDER / "prometheus.yml")], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@needs_promtool
def test_the_alerts_fire_when_they_should_and_not_before() -> None:
    checked = subprocess.run([PROMTOOL, "test", "rules", "alerts.yml"], cwd=ROOT / "tests/deployment", capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
