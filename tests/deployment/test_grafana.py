"""The dashboard, against what Grafana needs and what the service exposes."""

from __future__ import annotations

import json
import re
from itertools import combinations
from typing import Any

import pytest
import yaml

from tests.deployment.exposition import Exposed, check
from tests.deployment.files import ROOT, compose

FOLDER = ROOT / "docker" / "grafana"
SERVICE: dict[str, Any] = compose()["services"]["grafana"]
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "dashboards" / "neumeta.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
VARIABLES = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
EXPRESSIONS = [(panel["title"], target["expr"]) for panel in PANELS for target in panel.get("targets", [])]
COLUMNS = 24


def provisioned(kind: str) -> dict[str, Any]:
    [file] = (FOLDER / "provisioning" / kind).iterdir()
    document: dict[str, Any] = yaml.safe_load(file.read_text())
    return document


def test_panels_have_ids_of_their_own() -> None:
    ids = [panel["id"] for panel in PANELS]
    assert len(ids) == len(set(ids))
    assert all(isinstance(number, int) and number > 0 for number in ids)


def test_panels_lie_in_the_grid_and_beside_each_other() -> None:
    cells = {panel["title"]: cells_of(panel["gridPos"]) for panel in PANELS}
    assert len(cells) == len(PANELS), "two panels have one title"
    assert all(cells.values())
    assert all(0 <= column < COLUMNS for taken in cells.values() for column, _ in taken)
    assert not [(one, other) for one, other in combinations(cells, 2) if cells[one] & cells[other]]


def cells_of(place: dict[str, int]) -> set[tuple[int, int]]:
    return {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}


def test_panels_say_what_they_show_and_where_from() -> None:
    for panel in PANELS:
        assert panel["type"] in ("row", "stat", "timeseries", "heatmap", "table")
        if panel["type"] != "row":
            assert panel["description"].endswith(".")
            assert [source["uid"] for source in (panel["datasource"], *(target["datasource"] for target in panel["targets"]))] == [
                "${datasource}"
            ] * (1 + len(panel["targets"]))
            assert [target["refId"] for target in panel["targets"]] == list("ABCDEF"[: len(panel["targets"])])


def test_every_variable_that_is_used_is_defined() -> None:
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD)))
    assert {name for name in used if not name.startswith("__")} == VARIABLES.keys()
    assert VARIABLES["datasource"]["type"] == "datasource"
    assert VARIABLES["datasource"]["query"] == provisioned("datasources")["datasources"][0]["type"] == "prometheus"


def test_replicas_are_chosen_among_those_that_prometheus_asks(series: Exposed, values: dict[str, set[str]]) -> None:
    [(expression, label)] = re.findall(r"^label_values\((.*), (\w+)\)$", VARIABLES["instance"]["query"]["query"])
    check(expression, series, values)
    assert label == "instance"


@pytest.mark.parametrize(("title", "expression"), EXPRESSIONS)
def test_an_expression_asks_for_what_the_service_exposes(title: str, expression: str, series: Exposed, values: dict[str, set[str]]) -> None:
    check(expression.replace("$__rate_interval", "1m"), series, values)
    assert title == "Alerts" or "$instance" in expression


def test_every_metric_is_shown(series: Exposed) -> None:
    exposed = {name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count").removesuffix("_created") for name in series}
    exposed = {name if f"{name}_total" not in series else f"{name}_total" for name in exposed if name.startswith("neumeta_")}
    text = " ".join(expression for _, expression in EXPRESSIONS)
    assert {name for name in exposed if name not in text} == set()


def test_the_provisioned_files_are_where_grafana_looks() -> None:
    places = {mount["target"]: (ROOT / mount["source"]).resolve() for mount in SERVICE["volumes"]}
    assert places["/etc/grafana/provisioning"] == FOLDER / "provisioning"
    [provider] = provisioned("dashboards")["providers"]
    assert places[provider["options"]["path"]] == FOLDER / "dashboards"
    home = SERVICE["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/neumeta.json"


def test_the_data_source_is_the_prometheus_of_the_compose_file() -> None:
    [source] = provisioned("datasources")["datasources"]
    prometheus = compose()["services"]["prometheus"]
    assert source["url"] == f"http://prometheus:{prometheus['ports'][0]['target']}"
    assert SERVICE["depends_on"] == {"prometheus": {"condition": "service_healthy"}}


def test_nobody_can_log_in() -> None:
    environment = SERVICE["environment"]
    assert environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert (environment["GF_AUTH_BASIC_ENABLED"], environment["GF_AUTH_DISABLE_LOGIN_FORM"]) == ("false", "true")
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert not [name for name in environment if "PASSWORD" in name or "SECRET" in name]
