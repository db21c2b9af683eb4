from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.documentation.reader import Reader
from tests.documentation.session import Interpreter, Terminal
from tests.service.redis_server import free_port

ROOT = Path(__file__).parents[2]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What pages read of a fresh clone."""
    folder = tmp_path / "neumeta"
    for name in ("models", "examples"):
        shutil.copytree(ROOT / name, folder / name)
    return folder


@pytest.fixture
def reader(clone: Path, tmp_path: Path) -> Iterator[Reader]:
    """A reader in the root of a fresh clone, with an empty home, whose service takes a free port."""
    address = f"127.0.0.1:{free_port()}"
    environment = surroundings(tmp_path / "home", address)
    with closing(Terminal(clone, environment, tmp_path)) as terminal, closing(Interpreter(clone, environment, tmp_path)) as interpreter:
        yield Reader({"sh": terminal, "python": interpreter}, address)


def surroundings(home: Path, address: str) -> dict[str, str]:
    """The environment of somebody who has just activated the one of the repository."""
    home.mkdir()
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("NEUMETA_", "XDG_")) and name not in ("COLUMNS", "FORCE_COLOR")}
    return mine | {
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "NEUMETA_PORT": address.rpartition(":")[2],
        "NEUMETA_CLIENT_URL": f"http://{address}",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
        # Threads of several programs on few cores wait for each other.
        "OMP_NUM_THREADS": "1",
    }
