"""The threat model names tests that exist."""

from __future__ import annotations

import ast
import re

import pytest

from tests.deployment.files import ROOT

PAGE = (ROOT / "docs" / "threat-model.md").read_text()
DEFENCES = [
    line for section in re.split("^## ", PAGE, flags=re.MULTILINE) if section.startswith("Threats") for line in section.splitlines() if "| `" in line
]
NAMED = re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE)


def test_every_defence_names_a_test() -> None:
    assert len(DEFENCES) == len(NAMED) > 0


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_the_test_exists(file: str, test: str) -> None:
    functions = [node.name for node in ast.parse((ROOT / file).read_text()).body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert test in functions
