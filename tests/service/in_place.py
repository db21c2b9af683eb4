"""Files that change, and show it as little as a file can."""

from __future__ import annotations

import os
from pathlib import Path


def overwrite(path: Path, data: bytes) -> None:
    """As many other bytes in the same file, whose time of modification is put back: the time of the change itself is all that differs."""
    before = path.stat()
    assert len(data) == before.st_size
    path.write_bytes(data)
    while True:  # Until the file system's clock has ticked, a few milliseconds at most.
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        if path.stat().st_ctime_ns != before.st_ctime_ns:
            return
