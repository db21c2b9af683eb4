"""The main job, as ``make run`` starts it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "serve_and_pull.py"


def run(port: int) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"NEUMETA_PORT": str(port)}
    return subprocess.run([sys.executable, SCRIPT, "--once"], capture_output=True, text=True, env=environment, timeout=300, check=False)


def test_five_sizes_are_served_pulled_and_as_good_as_promised():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    done = run(port)
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^ +(0\.\d\d) +[\d,]+ +[\d,]+ +[\d.]+ +(~?)([\d.]+) % +([\d.]+) % +[\d.]+ +[\d.]+ *$", done.stdout, re.MULTILINE)
    assert [row[0] for row in rows] == ["0.00", "0.25", "0.50", "0.62", "0.75"]
    assert [row[1] for row in rows] == ["", "", "", "~", ""]
    for *_, promised, measured in rows:
        assert float(measured) > float(promised) - 0.6
    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", port)) != 0, "the service outlived the program"


def test_a_port_that_is_taken_is_one_sentence():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run(taken.getsockname()[1])
    assert done.returncode == 1
    assert "already listens" in done.stderr
    assert "Traceback" not in done.stderr
