from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_benchmark_that_make_runs_is_there_and_documented() -> None:
    found = re.search("^BENCHMARKS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert found is not None
    run = found[1].split()
    assert all((ROOT / "benchmarks" / f"{name}.py").exists() for name in run)
    page = (ROOT / "docs" / "performance.md").read_text()
    assert re.findall(r"^\| \[(\w+)\.py\]\(\.\./benchmarks/\1\.py\) \|", page, re.MULTILINE) == run
    sections = page.partition("\n## ")[2]
    assert [name for name in run if f"`python benchmarks/{name}.py" not in sections] == [], "the section of a benchmark names its command"
