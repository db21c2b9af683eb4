from __future__ import annotations

import importlib
from typing import Any

import pytest


@pytest.fixture
def herd() -> Any:
    return importlib.import_module("herd")


def run(herd: Any, *, builds: int = 1, memory: float = 0, seconds: float = 1.0) -> Any:
    """One that took ``seconds`` for everything at once and 2 s for everything else."""
    return herd.AtOnce(seconds, 2.0, builds, seconds, round(memory)), herd.OneByOne(2.0, 2.0, 10_000_000)


def test_both_bars_are_kept(herd: Any) -> None:
    fine = run(herd, memory=276e6)
    assert herd.missed_bars([fine, fine]) == []
    assert "[1, 2]" in herd.missed_bars([fine, run(herd, builds=2)])[0]
    assert "[0]" in herd.missed_bars([run(herd, builds=0)])[0]
    assert "277 MB" in herd.missed_bars([fine, run(herd, memory=277e6)])[0]


def test_rows_tell_medians_and_the_lowest_and_highest(herd: Any) -> None:
    runs = [run(herd, seconds=seconds, memory=1e6 * seconds) for seconds in (1.0, 4.0, 2.0)]
    row = herd.herd_row("m", runs)
    assert (row["ms herd"], row["herd, spread"]) == (2000, "1,000 to 4,000")
    assert (row["herd / one"], row["builds"], row["peak MB above idle"], row["allowed MB"]) == (1, "1, 1, 1", 4, 276)
    row = herd.specs_row("m", runs)
    assert (row["s at once"], row["s one by one"], row["at once / one by one"], row["ratio, spread"]) == (2, 2, 1, "0.5 to 2")
