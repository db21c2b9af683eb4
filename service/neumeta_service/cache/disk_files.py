"""Blobs as files, named by the digest of what is in them: ``sha256/<2 hex>/<64 hex>`` below one folder."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_PART = ".part"


class DiskFiles:
    """Files below ``folder``. Every method raises OSError when the disk does; a file that has its name is whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "sha256"

    def write(self, data: bytes) -> Path:
        """Write a blob, to the platter, under a temporary name."""
        self._folder.mkdir(parents=True, exist_ok=True)
        part = self._folder / f"{secrets.token_hex(16)}{_PART}"
        try:
            with part.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            part.unlink(missing_ok=True)
            raise
        return part

    def publish(self, part: Path, digest: str) -> None:
        """Give a written blob its name, in one step."""
        path = self._path(digest)
        path.parent.mkdir(exist_ok=True)
        part.replace(path)

    def read(self, digest: str) -> bytes:
        """The bytes under a digest's name, whatever they are; none when there is no such file."""
        try:
            return self._path(digest).read_bytes()
        except FileNotFoundError:
            return b""

    def remove(self, digest: str) -> None:
        """Remove a blob, if it is there."""
        self._path(digest).unlink(missing_ok=True)

    def digests(self) -> Iterator[str]:
        """Of all blobs that have their name."""
        for path in self._folder.glob("??/*"):
            yield f"sha256:{path.name}"

    def remove_parts(self, before_s: float) -> None:
        """Remove what killed processes left half written, if it was last written before this time."""
        for part in self._folder.glob(f"*{_PART}"):
            with suppress(FileNotFoundError):  # Another process that starts may be sooner.
                if part.stat().st_mtime < before_s:
                    part.unlink()

    def _path(self, digest: str) -> Path:
        name = digest.removeprefix("sha256:")
        return self._folder / name[:2] / name
