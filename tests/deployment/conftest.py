from __future__ import annotations

from pathlib import Path

import pytest
from neumeta_service.telemetry.metrics import CACHE_ERRORS, RELOADS, SELF_CHECKS

from tests.deployment.exposition import OUTCOMES, Exposed, exposed, operations


@pytest.fixture(scope="session")
def series(tmp_path_factory: pytest.TempPathFactory) -> Exposed:
    """Series of a real ``/metrics`` and their labels."""
    return exposed(tmp_path_factory.mktemp("exposed"))


@pytest.fixture(scope="session")
def values(models: Path) -> dict[str, set[str]]:
    """Values that labels can have."""
    return {
        "outcome": OUTCOMES,
        "operation": operations(models),
        "stage": {"cache", "lease", "queue", "inr", "onnx"},
        "kind": set(CACHE_ERRORS),
        "result": {*RELOADS, *SELF_CHECKS},
        "job": {"neumeta", "prometheus"},
    }
