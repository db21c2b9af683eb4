"""Servers of benchmarks end with them, and one that is refused says why."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.benchmarks.group import started

HOLD = """
import signal, sys, tempfile, time
from pathlib import Path
sys.path.insert(0, "benchmarks")
from restartable import redis_server
with tempfile.TemporaryDirectory() as folder, redis_server(Path(folder)) as redis:
    redis.wait_until_ready()
    redis.signal(signal.{signal})
    print(redis.process, folder, flush=True)
    time.sleep(60)
"""
REFUSED = """
import sys
sys.path.insert(0, "benchmarks")
from restartable import replica
with replica("replica a", "", "models", port="none") as server:
    server.wait_until_ready()
"""


@pytest.mark.parametrize("received", ["SIGCONT", "SIGSTOP"])
def test_sigterm_ends_the_servers_too(received: str) -> None:
    with started([sys.executable, "-c", HOLD.format(signal=received)]) as process:
        assert process.stdout is not None
        redis, folder = process.stdout.readline().split()
        process.terminate()
        assert process.wait(timeout=60) == 128 + 15
        with pytest.raises(ProcessLookupError):
            os.kill(int(redis), 0)
        assert not Path(folder).exists()


def test_a_service_that_is_refused_says_why() -> None:
    with started([sys.executable, "-c", REFUSED]) as process:
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert output.startswith("replica a ended with 2: neumeta-service: NEUMETA_PORT")
