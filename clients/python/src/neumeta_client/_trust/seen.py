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

    def check(self, model: str, version: int) -> None:
        """Raises RollbackRefused for a version that is lower than the highest before."""
        with disk_errors(self._folder / model):
            highest = _highest(self._folder / model)
        if version < highest:
            raise RollbackRefused(f"This is version {version} of {model}; version {highest} was seen before, so this one is refused.")

    def remember(self, model: str, version: int) -> None:
        """From now on lower versions are refused."""
        folder = self._folder / model
        with disk_errors(folder):
            if version > _highest(folder):
                folder.mkdir(parents=True, exist_ok=True)
                (folder / str(version)).touch()
                sync_folder(folder)


def _highest(folder: Path) -> int:
    if not folder.is_dir():
        return 0
    return max((int(path.name) for path in folder.iterdir() if path.name.isdecimal() and len(path.name) < 16), default=0)
