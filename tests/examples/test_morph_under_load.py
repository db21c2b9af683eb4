from __future__ import annotations

import itertools
import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "morph_under_load.py"


def test_no_call_fails_and_digits_stay_right_while_the_load_comes_and_goes():
    done = subprocess.run([sys.executable, SCRIPT, "--seconds", "1"], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    phases = re.findall(r"^(\w+) +compression 0\.\d\d ", done.stdout, re.MULTILINE)
    assert [phase for phase, _ in itertools.groupby(phases)] == ["quiet", "load", "quiet"]
    sizes = re.search(r"^sizes: (.+)$", done.stdout, re.MULTILINE)[1].split(" -> ")
    assert sizes[0] == "0.00"
    assert set(sizes) <= {"0.00", "0.25", "0.50", "0.75"}
    calls, failed, right = re.search(r"^(\d+) calls, (\d+) failed, ([\d.]+) % of the digits right$", done.stdout, re.MULTILINE).groups()
    assert int(calls) > 0
    assert failed == "0"
    assert float(right) > 98
