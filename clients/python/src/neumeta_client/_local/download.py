"""A file that comes in over the network, perhaps in several goes."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import IO, Callable, Optional

from neumeta_client._errors import CacheError, IntegrityError
from neumeta_client._local.lock import CAN_LOCK, try_lock
from neumeta_client._local.part import Part, disk_errors

Progress = Callable[[int, int], None]
"""Called with the bytes that are there, and those of the whole file."""

PATIENCE = 600
"""How often a process that holds the lock may be found to have written nothing before others stop waiting for it."""


class Download(Part):
    """A part that outlives an interruption: FILE.part beside its target, continued by whoever locks it next.

    In a ``with`` block call ``lock`` until it returns True, then write. Leaving the block keeps the bytes that are there, unless
    they turned out wrong or the disk refused them. Where files cannot be locked every download has a file of its own, and starts anew.
    """

    def __init__(self, target: Path, *, digest: str, size: int, progress: Optional[Progress] = None) -> None:
        super().__init__(target, digest=digest, size=size)
        self._progress = progress
        self._own = self._path
        self._waited, self._seen = 0, -1
        self._locked = False
        if CAN_LOCK:
            self._path = target.with_name(f"{target.name}.part")

    def __enter__(self) -> Download:
        with disk_errors(self.target):
            self.target.parent.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._locked:
            # A file of its own nobody would continue.
            self._keep = self._path != self._own and self._written > 0 and not isinstance(error, (IntegrityError, CacheError))
            super().__exit__(kind, error, trace)

    @property
    def received(self) -> int:
        """Bytes that are there."""
        return self._written

    def lock(self) -> bool:
        """Open the file, alone, and take over what is in it; False while another process or thread writes it."""
        with disk_errors(self.target):
            if self._waited > PATIENCE:
                self._path = self._own
            file = self._path.open("a+b")
            try:
                if not self._is_ours(file):
                    return False
                self._file, self._locked = file, True
            finally:
                if not self._locked:
                    file.close()
            self._take_over()
        self._report()
        return True

    def restart(self) -> None:
        """Forget the bytes that are there."""
        with disk_errors(self.target):
            self._file.truncate(0)
        self._forget()

    def write(self, chunk: bytes) -> None:
        """Append bytes, which stay there even if the process is killed; refuses those that go beyond ``size``."""
        super().write(chunk)
        with disk_errors(self.target):
            self._file.flush()
        self._report()

    def _is_ours(self, file: IO[bytes]) -> bool:
        locked = try_lock(file)
        if self._path == self._own:
            return True
        if locked is None:
            self._path = self._own
        # Whoever had the lock may have moved or removed the file meanwhile.
        elif locked and _is_at(file.fileno(), self._path):
            return True
        else:
            size = os.fstat(file.fileno()).st_size
            self._waited, self._seen = (self._waited + 1 if size == self._seen else 0), size
        return False

    def _take_over(self) -> None:
        if os.fstat(self._file.fileno()).st_size > self.size:
            self._file.truncate(0)
        self._file.seek(0)
        for chunk in iter(lambda: self._file.read(1 << 20), b""):
            self._count(chunk)

    def _report(self) -> None:
        if self._progress is not None:
            self._progress(self._written, self.size)


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
