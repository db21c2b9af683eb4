"""A file that appears whole and verified, or not at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO

from neumeta_client._errors import CacheError, IntegrityError


class Part:
    """A file in the making, beside its target under a name of its own; leaving the ``with`` block removes what was not committed.

    Raises IntegrityError for bytes that are not those of ``digest`` and ``size``, CacheError when the disk refuses.
    """

    def __init__(self, target: Path, *, digest: str, size: int) -> None:
        self.target = target
        self.digest = digest
        self.size = size
        self._path = target.with_name(f"{target.name}.{os.urandom(16).hex()}.part")
        self._file: IO[bytes]
        self._keep = self._committed = False
        self._forget()

    def __enter__(self) -> Part:
        with disk_errors(self.target):
            self.target.parent.mkdir(parents=True, exist_ok=True)
            # Created by open, so that the file gets the permissions that the user's umask says.
            self._file = self._path.open("xb")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # Closing gives a lock back, so the name goes before it; but Windows removes no open file.
        if os.name == "nt":
            self._close()
        if not self._keep and not self._committed:
            with suppress(OSError):
                self._path.unlink()
        self._close()

    def announce(self, size: int) -> None:
        """Refuse an answer that says beforehand that it does not complete the file."""
        if self._written + size != self.size:
            raise IntegrityError(f"The service announces {size} bytes for {self.digest}; expected {self.size - self._written} by the manifest.")

    def write(self, chunk: bytes) -> None:
        """Append bytes; refuses those that go beyond ``size``."""
        if self._written + len(chunk) > self.size:
            raise IntegrityError(f"More than the {self.size} bytes that the manifest names came for {self.digest}.")
        self._count(chunk)
        with disk_errors(self.target):
            self._file.write(chunk)

    def commit(self) -> Path:
        """Verify, make durable and put in place."""
        if self._written < self.size:
            raise IntegrityError(f"Only {self._written} of the {self.size} bytes that the manifest names came for {self.digest}.")
        found = f"sha256:{self._sha256.hexdigest()}"
        if found != self.digest:
            raise IntegrityError(f"The bytes have the digest {found}; expected {self.digest}.")
        with disk_errors(self.target):
            self._file.flush()
            os.fsync(self._file.fileno())
            # Windows moves no open file; elsewhere its lock goes with it.
            if os.name == "nt":
                self._file.close()
            # Its time of access is that of the first byte, but it is used from now on; where nobody can say that, it is a file all the same.
            with suppress(OSError):
                os.utime(self._path)
            self._path.replace(self.target)
            self._committed = True
            sync_folder(self.target.parent)
        return self.target

    def _close(self) -> None:
        # Closing flushes, which a full disk refuses; the error that matters was raised before.
        with suppress(OSError):
            self._file.close()

    def _forget(self) -> None:
        self._sha256 = hashlib.sha256()
        self._written = 0

    def _count(self, chunk: bytes) -> None:
        self._sha256.update(chunk)
        self._written += len(chunk)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn every OSError into a CacheError that names the file."""
    try:
        yield
    except OSError as error:
        raise CacheError(f"{path} cannot be read or written: {error.strerror or error}.") from error


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    # Windows has no way to open a folder; there the rename is as durable as it gets.
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
