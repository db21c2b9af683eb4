"""What a cache folder holds, and what of it goes when there is too much."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from neumeta_client._local.lock import try_lock
from neumeta_client._local.part import disk_errors

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
    models: tuple[str, ...]
    """Every model, as NAME/VERSION, that a manifest in the cache names it for."""

    @property
    def is_finished(self) -> bool:
        """Whether it is an artifact."""
        return self.path.suffix != ".part"


def inventory(folder: Path) -> tuple[CacheEntry, ...]:
    """Every artifact and unfinished download, the least recently used first. Raises CacheError."""
    blobs, models = folder / "blobs" / "sha256", _models(folder)
    found = []
    with disk_errors(blobs):
        for path in blobs.glob("*.onnx*") if blobs.is_dir() else ():
            with suppress(FileNotFoundError):
                status, digest = path.stat(), f"sha256:{path.name.partition('.')[0]}"
                used = status.st_mtime if path.suffix == ".part" else status.st_atime
                found.append(CacheEntry(path, digest, status.st_size, used, models.get(digest, ())))
    return tuple(sorted(found, key=lambda entry: entry.used))


def collect(folder: Path, limit: int, *, keep: Optional[Path] = None) -> tuple[CacheEntry, ...]:
    """Remove forgotten downloads, then the artifacts used least recently until ``limit`` bytes are left; give what was removed.

    The file ``keep`` and downloads that are written just now stay. Manifests go with the last artifact that they name. Raises CacheError.
    """
    entries = inventory(folder)
    excess, removed = sum(entry.size for entry in entries) - limit, []
    for entry in entries:
        forgotten = not entry.is_finished and entry.used < time.time() - FORGOTTEN_S
        if entry.path != keep and (forgotten or excess > 0) and _remove(entry):
            removed.append(entry)
            excess -= entry.size
    if removed:
        _remove_refs(folder, {entry.digest for entry in removed if entry.is_finished})
    return tuple(removed)


def _remove(entry: CacheEntry) -> bool:
    with disk_errors(entry.path):
        try:
            if entry.is_finished:
                entry.path.unlink()
                return True
            with entry.path.open("rb") as file:
                if free := try_lock(file):
                    entry.path.unlink()
                return free
        except FileNotFoundError:
            return False


def _remove_refs(folder: Path, digests: set[str]) -> None:
    for path, answer in references(folder):
        if answer.get("digest") in digests:
            with disk_errors(path), suppress(FileNotFoundError):
                path.unlink()


def _models(folder: Path) -> dict[str, tuple[str, ...]]:
    found: dict[str, set[str]] = {}
    for path, answer in references(folder):
        found.setdefault(str(answer.get("digest")), set()).add(f"{path.parent.name}/{answer.get('version')}")
    return {digest: tuple(sorted(models)) for digest, models in found.items()}


def references(folder: Path) -> list[tuple[Path, dict[str, object]]]:
    """Every manifest that was kept, with its file. Raises CacheError."""
    found = []
    with disk_errors(folder):
        for path in (folder / "refs").glob("*/*.json"):
            with suppress(OSError, ValueError):
                answer = json.loads(path.read_bytes())
                if isinstance(answer, dict):
                    found.append((path, answer))
    return found
