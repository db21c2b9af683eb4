from __future__ import annotations

import importlib
from typing import Any

import pytest


@pytest.fixture
def report() -> Any:
    return importlib.import_module("report")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        ("yes", "yes"),
        (12_345, "12,345"),
        (0.0, "0"),
        (99.96, "100"),
        (999.4, "999"),
        (999.5, "1,000"),
        (999.6, "1,000"),
        (-999.6, "-1,000"),
        (1234.5, "1,234"),
        (0.000379, "0.000379"),
    ],
)
def test_a_value_as_tables_show_it(report: Any, value: object, shown: str) -> None:
    assert report.text(value) == shown
