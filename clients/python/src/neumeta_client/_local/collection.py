"""What a cache folder holds, and what of it goes when there is too much."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional

from neumeta_client._local.lock import try_lock
from neumeta_client._local.part import disk_errors
from neumeta_client._local.refs import models_of, references, tidy

FORGOTTEN_S = 7 * 86400
"""Age of a download that nobody continued, after which it is removed."""


@dataclass(frozen=True)
class CacheEntry:
    """One file of the cache: an artifact, or a download that was not finished."""

    path: Path
    digest: str
    size: int
    used: float
    """When it was pulled last, in seconds since 1970."""
    models: tuple[str, ...] = ()
    """Every model, as NAME/VERSION, that a manifest in the cache names it for."""

    @property
    def is_finished(self) -> bool:
        """Whether it is an artifact."""
        return self.path.suffix != ".part"


def inventory(folder: Path) -> tuple[CacheEntry, ...]:
    """Every artifact and unfinished download with its models, the least recently used first. Raises CacheError."""
    return _named(entries_of(folder), references(folder))


def entries_of(folder: Path) -> list[CacheEntry]:
    """The same as far as the files themselves say it, without models. Raises CacheError."""
    blobs = folder / "blobs" / "sha256"
    found = []
    with disk_errors(blobs):
        for path in blobs.glob("*.onnx*") if blobs.is_dir() else ():
            with suppress(FileNotFoundError):
                status, digest = path.stat(), f"sha256:{path.name.partition('.')[0]}"
                found.append(CacheEntry(path, digest, status.st_size, _used(path, status)))
    return sorted(found, key=lambda entry: entry.used)


def collect(folder: Path, limit: int, *, keep: Optional[Path] = None, grace_s: float = 0.0) -> tuple[CacheEntry, ...]:
    """Remove forgotten downloads, then the artifacts used least recently until ``limit`` bytes are left; give what was removed.

    The file ``keep``, what was used in the last ``grace_s`` seconds or is used meanwhile, and downloads that are written just now stay.
    Manifests go with the artifact that they name, and when there are too many (see ``tidy``). Raises CacheError.
    """
    entries = entries_of(folder)
    excess, removed = sum(entry.size for entry in entries) - limit, []
    forgotten = time.time() - FORGOTTEN_S
    for entry in entries:
        is_forgotten = not entry.is_finished and entry.used < forgotten
        if entry.path != keep and (is_forgotten or excess > 0) and _remove(entry, is_forgotten=is_forgotten, grace_s=grace_s):
            removed.append(entry)
            excess -= entry.size
    refs = references(folder)
    tidy(folder, refs, forgotten=forgotten)
    return _named(removed, refs)


def _named(entries: Iterable[CacheEntry], refs: Iterable[tuple[Path, dict[str, object]]]) -> tuple[CacheEntry, ...]:
    models = models_of(refs)
    return tuple(replace(entry, models=models.get(entry.digest, ())) for entry in entries)


def _used(path: Path, status: os.stat_result) -> float:
    return status.st_mtime if path.suffix == ".part" else status.st_atime


def _remove(entry: CacheEntry, *, is_forgotten: bool, grace_s: float) -> bool:
    with disk_errors(entry.path):
        try:
            if entry.is_finished:
                # Another process may have found it lately, or since it was listed, and be about to open it.
                used = _used(entry.path, entry.path.stat())
                if used != entry.used or abs(time.time() - used) < grace_s:
                    return False
                entry.path.unlink()
                return True
            # On NFS only a file that is open for writing can be locked.
            with entry.path.open("r+b") as file:
                if free := try_lock(file):
                    entry.path.unlink()
            return _remove_unlocked(entry) if free is None and is_forgotten else bool(free)
        except FileNotFoundError:
            return False


def _remove_unlocked(entry: CacheEntry) -> bool:
    """Where there are no locks the age of a file says that nobody writes it."""
    try:
        entry.path.unlink()
    except PermissionError:  # Windows removes no file that somebody has open.
        return False
    return True
