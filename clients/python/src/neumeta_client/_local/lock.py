"""A lock on an open file, which ends with the process that holds it."""

from __future__ import annotations

import errno
import sys
from typing import IO, Optional

if sys.platform != "win32":
    import fcntl

CAN_LOCK = sys.platform != "win32"
"""Whether this system has locks that let others open, rename and remove the file."""


# What file systems say that have none, as network mounts may.
_NO_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK}


def try_lock(file: IO[bytes]) -> Optional[bool]:
    """Take the lock if nobody has it, in this process or another; closing the file gives it back. None where this file can have no lock."""
    if sys.platform == "win32":
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return None
    return True
