"""The soak itself, for a moment: it runs to its end, finds no fault, and would find one."""

from __future__ import annotations

import asyncio
import importlib
import json
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.benchmarks.group import started
from tests.deployment.test_nginx import NGINX

MB = 1_000_000


@pytest.fixture
def soak() -> Iterator[Any]:
    handler = signal.getsignal(signal.SIGTERM)
    yield importlib.import_module("soak")
    signal.signal(signal.SIGTERM, handler)


@pytest.mark.skipif(not NGINX, reason="nginx is not installed (for example: apt-get install nginx)")
def test_a_short_soak_finds_no_fault(tmp_path: Path) -> None:
    kept = tmp_path / "soak.json"
    with started([sys.executable, "benchmarks/soak.py", "--seconds", "20", "--clients", "8", "--json", kept]) as process:
        output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    tables = json.loads(kept.read_text())["tables"]
    assert [row["kind"] for row in tables["Requests"]] == ["cold", "warm", "whole", "304", "range"]
    assert all(row["ok"] > 0 and row["wrong bytes"] == 0 for row in tables["Requests"])
    memory = {row["process"]: row["quarter 4"] for row in tables["Memory, median MB by quarter"]}
    assert memory.keys() == {"redis", "replica a", "replica b", "nginx"}
    assert all(memory.values()), "every server is there at the end"


def test_a_faulty_tally_misses_bars(soak: Any) -> None:
    right = Counter({(kind, "ok"): 10 for kind in soak.MIX})
    expected = Counter({("warm", "busy"): 3, ("304", "gone"): 2, ("cold", "retried"): 5})
    assert missed(soak, right + expected) == []
    assert missed(soak, right + Counter({("range", "wrong bytes"): 1})) == ["range: wrong bytes (1 times)"]
    assert missed(soak, right + Counter({("cold", "status 500"): 2, ("warm", "gave up"): 1})) == [
        "cold: status 500 (2 times)",
        "warm: gave up (1 times)",
    ]
    assert missed(soak, right - Counter({("whole", "ok"): 10})) == ["no whole was answered"]


def missed(soak: Any, outcomes: Counter[tuple[str, str]]) -> list[str]:
    tally = importlib.import_module("load").Tally(outcomes)
    found: list[str] = soak.missed_bars(SimpleNamespace(tally=tally))
    return found


def test_memory_that_grows_and_servers_that_are_gone_miss_bars(soak: Any) -> None:
    calm = {"redis": [5 * MB] * 3 + [0] * 3 + [5 * MB] * 6, "replica a": [80 * MB] * 3 + [100 * MB] * 9}
    assert soak.grown(calm) == soak.gone(calm) == [], "what was down in the middle and came back is no fault"
    assert soak.grown({"replica b": [100 * MB] * 6 + [110 * MB] * 6}) == ["replica b grew from 100 to 110 MB"]
    lost = {"replica b": [100 * MB] * 3 + [0] * 9, "redis": [5 * MB] * 11 + [0], "nginx": [7 * MB] * 12}
    assert soak.gone(lost) == ["replica b was gone in the last quarter", "redis was gone in the last quarter"]


def test_a_replica_that_does_not_come_back_ends_the_soak(soak: Any) -> None:
    idle = [sys.executable, "-c", "import time; time.sleep(60)"]
    with (
        soak.Restartable("redis", 0, idle, is_ready=bool) as redis,
        soak.Restartable("replica b", 0, idle) as replica,
    ):
        replica.command = [sys.executable, "-c", "raise SystemExit('no such folder')"]
        with pytest.raises(SystemExit, match="replica b ended with 1: no such folder"):
            asyncio.run(soak.conduct(SimpleNamespace(phase=""), [redis, replica], 2))
