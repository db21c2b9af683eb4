from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_a_residual_network_that_no_recipe_knows_gets_onnx_files_of_four_sizes(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "bring_your_own.py", tmp_path], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    found = re.findall(r"compression (\S+): +([\d,]+) bytes, ([\d.]+) %", done.stdout)
    sizes = [int(size.replace(",", "")) for _, size, _ in found]
    assert [compression for compression, _, _ in found] == ["0.00", "0.17", "0.33", "0.50"]
    assert sizes == sorted(sizes, reverse=True)
    assert all(float(accuracy) > 95 for *_, accuracy in found)
    assert [path.stat().st_size for path in sorted(tmp_path.glob("*.onnx"))] == sizes
