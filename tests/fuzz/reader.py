"""The process that reads damaged manifold files: ``python -m tests.fuzz.reader START STOP SEED FOLDER`` reads those of the numbers [START, STOP).

Before each it writes the number on a line, after it what came of it: ``read``, ``refused``, or a failure in JSON. The parent judges silence.
"""

from __future__ import annotations

import ctypes
import json
import resource
import sys
import tempfile
import traceback
from pathlib import Path

from neumeta_core.errors import ManifoldRefused
from neumeta_core.manifold import Manifold

from tests.fuzz.mutations import corpus, damaged

FACTOR = 2
"""Most memory that reading may take, in sizes of the file, beside the file itself."""
SLACK = 8 * 2**20
"""Bytes that small files may take beside that: what the interpreter and the allocators take at a time."""
ADDRESSES = 64 * 2**20
"""Bytes of addresses that may be asked for without being used, beside both."""


def main(start: int, stop: int, seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = corpus(Path(folder))
    for data in files:
        read(data)  # The first time, libraries take memory of their own.
        assert read(data) == "read", "the files are no good before they are damaged"
    for number in range(start, stop):
        data = damaged(files, number, seed)
        say(str(number))
        say(read(data))


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def read(data: bytes) -> str:
    """What comes of a file."""
    ctypes.CDLL(None).malloc_trim(0)  # What was freed before would hide what is taken now.
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # Forgets the peak.
    unlimited = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (memory("VmSize") + FACTOR * len(data) + SLACK + ADDRESSES, unlimited[1]))
    try:
        Manifold.from_bytes(data)
        outcome = "read"
    except ManifoldRefused:
        outcome = "refused"
    except BaseException:
        outcome = json.dumps({"raised": traceback.format_exc(limit=-6)})
    finally:
        resource.setrlimit(resource.RLIMIT_AS, unlimited)
    taken = memory("VmHWM") - before
    if taken > FACTOR * len(data) + SLACK:
        return json.dumps({"took": taken, "size": len(data), "outcome": outcome})
    return outcome


def memory(name: str) -> int:
    """Bytes of this process, from proc_pid_status(5)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    main(*(int(text) for text in sys.argv[1:]))
