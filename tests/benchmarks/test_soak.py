"""The soak itself, for a moment: it runs to its end, finds no fault, and would find one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deployment.files import ROOT
from tests.deployment.test_nginx import NGINX


@pytest.mark.skipif(not NGINX, reason="nginx is not installed (for example: apt-get install nginx)")
def test_a_short_soak_finds_no_fault(tmp_path: Path) -> None:
    kept = tmp_path / "soak.json"
    command = [sys.executable, "benchmarks/soak.py", "--seconds", "20", "--clients", "8", "--json", str(kept)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    tables = json.loads(kept.read_text())["tables"]
    assert [row["kind"] for row in tables["Requests"]] == ["cold", "warm", "whole", "304", "range"]
    assert all(row["ok"] > 0 and row["wrong bytes"] == 0 for row in tables["Requests"])
    assert {row["process"] for row in tables["Memory, median MB by quarter"]} == {"redis", "replica a", "replica b", "nginx"}
