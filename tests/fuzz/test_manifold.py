from __future__ import annotations

from pathlib import Path

from tests.fuzz.manifold import Fuzzer

INPUTS = 2000
"""`make fuzz` reads 100,000."""


def test_damaged_manifold_files_are_refused_or_read(tmp_path: Path) -> None:
    fuzzer = Fuzzer(0, tmp_path)
    fuzzer.run(0, INPUTS)
    assert fuzzer.failed == [], "\n".join(path.read_text() for path in sorted(tmp_path.glob("*.txt"))[:3])
    assert fuzzer.outcomes.total() == INPUTS
    assert fuzzer.outcomes["read"] > INPUTS // 50, "most damage is harmless or none of it is"
    assert fuzzer.outcomes["refused"] > INPUTS // 2
