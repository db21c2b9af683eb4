"""What the service really exposes to Prometheus, and whether an expression asks for that."""

from __future__ import annotations

from pathlib import Path

import httpx
from neumeta_service.http.problems import PROBLEMS
from prometheus_client.parser import text_string_to_metric_families

from tests.deployment.promql import parse
from tests.service.serving import POST, live, tiny_app
from tests.service.signed import Clock, SignedFolder

# What Prometheus adds: labels of the target, and series of its own.
TARGET = {"job", "instance"}
OWN = {"up": TARGET, "ALERTS": TARGET | {"alertname", "alertstate", "severity"}}
OUTCOMES = {*PROBLEMS, "ok", "memory", "redis", "disk", "built", "disconnected", "cancelled"}

Exposed = dict[str, set[str]]


def exposed(folder: Path) -> Exposed:
    """Series of ``/metrics`` and their labels, of a service with every part that counts, after requests that touch all of them."""
    signed = SignedFolder(folder, Clock())
    signed.add()
    app = signed.app(cache_dir=folder / "cache", rate_limit="1000/minute")
    with live(app) as base, httpx.Client(base_url=base, timeout=60) as client:
        for _ in range(2):
            made = client.post(POST, json={"compression": 0.5}).raise_for_status()
        client.get(made.headers["content-location"]).raise_for_status()
        text = client.get("/metrics").raise_for_status().text
    return {sample.name: set(sample.labels) | TARGET for family in text_string_to_metric_families(text) for sample in family.samples} | OWN


def operations(models: Path) -> set[str]:
    """Ids of the operations that the service has."""
    paths = tiny_app(models).openapi()["paths"]
    return {operation["operationId"] for methods in paths.values() for operation in methods.values()} | {"none"}


def check(expression: str, series: Exposed, allowed: dict[str, set[str]]) -> None:
    """Fail unless every series and label of a PromQL expression exists, and every value of a label in ``allowed`` is one of those."""
    query = parse(expression)
    assert query.selected, expression
    labels: set[str] = set()
    for name, matched in query.selected:
        assert name in series, f"{expression}: the service exposes no {name}; it exposes {', '.join(sorted(series))}."
        assert matched.keys() <= series[name], f"{expression}: {name} has the labels {sorted(series[name])}."
        labels |= series[name]
        for label in matched.keys() & allowed.keys():
            assert set(matched[label]) <= allowed[label], f"{expression}: {label} is one of {sorted(allowed[label])}."
    assert query.grouped <= labels, f"{expression}: no series in it has {sorted(query.grouped - labels)}."
