"""Where a file goes that is written under a name of the caller's choice."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from neumeta_client._errors import CacheError
from neumeta_client._local.part import disk_errors

_SEPARATORS = tuple(filter(None, (os.sep, os.altsep)))


def target_in(chosen: str | os.PathLike[str], name: str) -> Path:
    """``chosen``, or when it is a folder or ends like one (``networks/``) the file ``name`` in it."""
    path = Path(chosen)
    return path / name if path.is_dir() or os.fspath(chosen).endswith(_SEPARATORS) else path


def replaceable(path: Path) -> Path:
    """Where links lead from there, as what they lead to is replaced and they stay. Raises CacheError for a device, a pipe or a folder."""
    with disk_errors(path), suppress(FileNotFoundError):
        if not stat.S_ISREG(path.stat().st_mode):
            raise CacheError(f"{path} is no regular file, and stays as it is; expected a file or a name that is free.")
    return Path(os.path.realpath(path))
