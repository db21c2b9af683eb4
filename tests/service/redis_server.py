"""A real Redis server for tests: a port and a folder of its own, and the faults that operators meet."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
import redis

_DOCUMENTED = re.compile(r"needs no more than `(~nm:[^`]*)`, `([^`]*)`\s+for a database other than 0,\s+and\s+`([^`]*)`\s+for a Cluster")


def documented_user(topology: str = "") -> list[str]:
    """The command that makes an ACL user ``neumeta`` with the password ``secret`` and what docs/settings.md says it needs, no more."""
    documented = _DOCUMENTED.search((Path(__file__).parents[2] / "docs" / "settings.md").read_text())
    assert documented is not None
    rights, select, cluster = (words.split() for words in documented.groups())
    return ["ACL", "SETUSER", "neumeta", "on", ">secret", *rights, *(cluster if topology == "cluster" else select)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class RedisServer:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def start(self, *options: str) -> None:
        binary = shutil.which("redis-server")
        if binary is None:
            pytest.fail("redis-server is not on PATH. `make test` installs it; these tests use a real server and nothing else.")
        command = [binary, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(self._folder)]
        with (self._folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen([*command, *options], stdout=log, stderr=log)
        self._wait_until_it_answers()

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                with self.connect() as client:
                    client.ping()
                return
            except redis.exceptions.ConnectionError:
                time.sleep(0.02)
        pytest.fail(f"redis-server did not start: {(self._folder / 'redis.log').read_text()}")

    def connect(self) -> redis.Redis:
        return redis.Redis(port=self.port, socket_timeout=30)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """The kernel still accepts connections, nobody answers: what a hung or unreachable server looks like."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)
