from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from tests.deployment.files import ROOT


@pytest.fixture
def published() -> Any:
    return importlib.import_module("published_procedure")


def test_figures_of_the_whole_network_and_of_a_part(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    command = [
        sys.executable,
        "benchmarks/materialize.py",
        "--networks",
        "lenet",
        "--runs",
        "1",
        "--most",
        "0.5",
        "--device",
        "cpu",
        "--json",
        figures,
    ]
    printed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    tables = json.loads(figures.read_text())["tables"]
    assert all(f"\n{title}\n\n| " in printed for title in tables)
    rows = {row["kind"]: row for row in tables["Materialization on cpu"]}
    assert rows.keys() == {"mlp", "factorised", "anchored"}
    hidden_layers = 11_776 * 4 * 256**2 / 1e9  # of every coordinate: the output layer adds a little
    assert hidden_layers < rows["mlp"]["10^9 multiply-adds"] < 1.5 * hidden_layers
    assert rows["mlp"]["timed"] != "100.0%"
    assert rows["factorised"]["timed"] == rows["anchored"]["timed"] == "100.0%"
    assert (rows["factorised"]["threads"], rows["anchored"]["threads"], rows["mlp"]["threads"]) == (1, 1, torch.get_num_threads())
    for threads in {row["threads"] for row in rows.values()}:
        assert printed.count(f"\nFloor of cpu-fp32-k1, threads {threads}: ") == 1, "measured once, as the network is made"


def test_the_published_procedure_makes_a_network_that_runs(published: Any) -> None:
    family = importlib.import_module("families").find_family("lenet")
    inr = published.published_inr(family)
    rows = published.coordinate_rows(list(inr.shapes.values()))
    with torch.no_grad():
        weights = inr(rows)
    assert weights.keys() == family.architecture.by_name.keys()
    one, three = (published.materialize(inr, family.network, rows, samples) for samples in (1, 3))
    for name, values in weights.items():
        assert torch.equal(one.state_dict()[name], values)
        assert not torch.allclose(three.state_dict()[name], values), "noise moves every weight"
        assert not torch.equal(family.network.state_dict()[name], values), "the network itself stays"
    session = onnxruntime.InferenceSession(published.export(three, family.example), providers=["CPUExecutionProvider"])
    logits = session.run(None, {session.get_inputs()[0].name: family.example.numpy()})[0]
    with torch.no_grad():
        assert np.allclose(logits, three(family.example).numpy(), atol=1e-6)
