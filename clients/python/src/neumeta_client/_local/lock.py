"""A lock on an open file, which ends with the process that holds it."""

from __future__ import annotations

import sys
from typing import IO

if sys.platform != "win32":
    import fcntl

CAN_LOCK = sys.platform != "win32"
"""Whether this system has locks that let others open, rename and remove the file."""


def try_lock(file: IO[bytes]) -> bool:
    """Take the lock if nobody has it, in this process or another; closing the file gives it back."""
    if sys.platform == "win32":
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
