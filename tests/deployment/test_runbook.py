"""The runbook covers whatever can go wrong by name."""

from __future__ import annotations

import pytest
from neumeta_service.http.problems import PROBLEMS
from neumeta_service.telemetry.metrics import Metrics

from tests.deployment.files import ROOT

RUNBOOK = (ROOT / "docs" / "operations.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in RUNBOOK.splitlines() if line.startswith("| `")]


@pytest.mark.parametrize("code", PROBLEMS)
def test_every_problem_has_a_cause_and_a_remedy(code: str) -> None:
    [row] = [row for row in ROWS if f"`{code}`" in row[0]]
    assert len(row) == 4
    assert all(row)


def test_every_metric_is_explained() -> None:
    metrics = Metrics()
    metrics.watch_signing_certificate(lambda: 0.0)
    exposed = {f"{family.name}_total" if family.type == "counter" else family.name for family in metrics.registry.collect()}
    assert {row[0].strip("`") for row in ROWS if row[0].startswith("`neumeta_")} == exposed
