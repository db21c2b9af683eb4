"""The highest version of each model that was seen: FOLDER/MODEL/VERSION, empty files.

A file is made in one step and never changed, so processes need no lock, and none can put a lower version in the place of a higher one.
"""

from __future__ import annotations

from pathlib import Path

from neumeta_client._errors import RollbackRefused
from neumeta_client._local.part import disk_errors, sync_folder


class SeenVersions:
    """Remembers on disk which versions there have been. Raises CacheError when the disk refuses."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def accept(self, model: str, version: int) -> None:
        """Take a version and remember it; RollbackRefused when it is lower than the highest before."""
        folder = self._folder / model
        with disk_errors(folder):
            highest = _highest(folder)
            if version < highest:
                raise RollbackRefused(f"The service offers version {version} of {model}; version {highest} was seen before, so this one is refused.")
            if version > highest:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / str(version)).touch()
                sync_folder(folder)


def _highest(folder: Path) -> int:
    if not folder.is_dir():
        return 0
    return max((int(path.name) for path in folder.iterdir() if path.name.isdecimal() and len(path.name) < 16), default=0)
