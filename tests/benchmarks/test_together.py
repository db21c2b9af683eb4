from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from neumeta_core.configuration import Configuration
from neumeta_core.manifold import Manifold

from tests.deployment.files import ROOT

Weights = dict[str, torch.Tensor]
real = Manifold.materialize


@pytest.fixture
def together() -> Any:
    return importlib.import_module("together")


def zeros(manifold: Manifold, member: Configuration) -> Weights:
    return {name: torch.zeros_like(values) for name, values in real(manifold, member).items()}


def in_one_buffer() -> Callable[[Manifold, Configuration], Weights]:
    """All members in the same memory, each over the one before it."""
    buffers: Weights = {}

    def materialize(manifold: Manifold, member: Configuration) -> Weights:
        made = real(manifold, member)
        for name, values in made.items():
            full = manifold.architecture.by_name[name].elements(manifold.architecture.full_widths)
            buffer = buffers.setdefault(name, torch.empty(full))[: values.numel()]
            made[name] = buffer.copy_(values.flatten()).view(values.shape)
        return made

    return materialize


def test_members_have_the_plain_values(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    chosen = ["--networks", "lenet", "--specs", "4", "--runs", "1", "--device", "cpu", "--json", figures]
    subprocess.run([sys.executable, "benchmarks/together.py", *chosen], cwd=ROOT, check=True, capture_output=True)
    rows = json.loads(figures.read_text())["tables"]["4 different members on cpu"]
    assert [(row["network"], row["kind"]) for row in rows] == [("lenet", "factorised"), ("lenet", "anchored")]
    assert all(row["as plain"] == "yes" for row in rows)
    alike = ("ms at once", "at once, spread", "one by one / at once", "same bits")
    assert all(row[column] is None for row in rows for column in alike), "a CPU has one way only"


@pytest.mark.parametrize("kind", ["factorised", "anchored"])
@pytest.mark.parametrize("wrong", [zeros, in_one_buffer()])
def test_wrong_values_are_found(together: Any, kind: str, wrong: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lenet = importlib.import_module("families").find_family("lenet")
    assert together.measure(lenet, kind, "cpu", 3, 1).right
    monkeypatch.setattr(Manifold, "materialize", wrong)
    assert not together.measure(lenet, kind, "cpu", 3, 1).right


def test_a_wrong_value_ends_the_benchmark(together: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Manifold, "materialize", zeros)
    monkeypatch.setattr(sys, "argv", ["together.py", "--networks", "lenet", "--kinds", "anchored", "--specs", "2", "--runs", "1", "--device", "cpu"])
    with pytest.raises(SystemExit, match="lenet anchored on cpu"):
        together.main()
