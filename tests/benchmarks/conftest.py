from __future__ import annotations

import pytest

from tests.deployment.files import ROOT


@pytest.fixture(autouse=True)
def _modules_of_benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    """They import each other by bare names, as scripts of one folder do."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
