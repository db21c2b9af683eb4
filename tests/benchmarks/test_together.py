from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_members_at_once_have_the_bits_of_each_alone(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    chosen = ["--networks", "lenet", "--specs", "4", "--runs", "1", "--device", "cpu", "--json", figures]
    subprocess.run([sys.executable, "benchmarks/together.py", *chosen], cwd=ROOT, check=True, capture_output=True)
    rows = json.loads(figures.read_text())["tables"]["4 different members on cpu"]
    assert [(row["network"], row["kind"]) for row in rows] == [("lenet", "factorised"), ("lenet", "anchored")]
    assert all(row["same bits"] == "yes" for row in rows)
