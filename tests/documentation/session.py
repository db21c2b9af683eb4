"""What a reader types blocks into: a terminal, or a Python interpreter."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from shlex import quote


class Session(ABC):
    """A program that is given blocks one after the other, and ends when one of them fails."""

    def __init__(self, command: list[str], folder: Path, environment: Mapping[str, str], scratch: Path) -> None:
        self._scratch, self._number = scratch, itertools.count()
        # A session of its own: whatever blocks leave in the background is ended with it.
        self._process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )

    @abstractmethod
    def request(self, block: Path, printed: Path) -> str:
        """The line that has the program run a file, its output go into another one, and then a line be printed."""

    def run(self, code: str) -> tuple[bool, str]:
        """(whether all of it succeeded, what it printed)."""
        number = next(self._number)
        block, printed = (self._scratch / f"{type(self).__name__}-{number}.{kind}" for kind in ("block", "printed"))
        block.write_text(code)
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{self.request(block, printed)}\n")
        self._process.stdin.flush()
        return bool(self._process.stdout.readline()), printed.read_text()

    def close(self) -> None:
        """End the program and all that runs in it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()


class Terminal(Session):
    """One bash: variables, its folder and background jobs last from block to block."""

    def __init__(self, folder: Path, environment: Mapping[str, str], scratch: Path) -> None:
        super().__init__(["bash", "-e", "-o", "pipefail"], folder, environment, scratch)

    def request(self, block: Path, printed: Path) -> str:
        """Both streams go into the file."""
        return f". {quote(str(block))} > {quote(str(printed))} 2>&1 < /dev/null; echo done"


class Interpreter(Session):
    """One Python: names last from block to block."""

    def __init__(self, folder: Path, environment: Mapping[str, str], scratch: Path) -> None:
        super().__init__([sys.executable, "-P", str(Path(__file__).with_name("interpreter.py"))], folder, environment, scratch)

    def request(self, block: Path, printed: Path) -> str:
        """Standard output goes into the file, and a traceback."""
        return f"{block}\t{printed}"
