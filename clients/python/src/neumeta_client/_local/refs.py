"""The manifests that a cache folder keeps: which there are, and which of them go."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from neumeta_client._local.part import disk_errors

VERIFIED = ".verified"
"""Stands in the names of those that a client with a trust root has verified, before ``.json``."""
MOST_REFS = 1000
"""So many manifests of one model stay: a few megabytes, all of which are read whenever the cache is collected."""


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


def models_of(refs: Iterable[tuple[Path, dict[str, object]]]) -> dict[str, tuple[str, ...]]:
    """Of each digest every model, as NAME/VERSION, that a manifest names it for."""
    found: dict[str, set[str]] = {}
    for path, answer in refs:
        found.setdefault(str(answer.get("digest")), set()).add(f"{path.parent.name}/{answer.get('version')}")
    return {digest: tuple(sorted(models)) for digest, models in found.items()}


def tidy(folder: Path, refs: Iterable[tuple[Path, dict[str, object]]], *, forgotten: float) -> None:
    """Remove the manifests of artifacts that are gone, and of each model those used least recently beyond ``MOST_REFS``.

    So go files that were left half written, since before ``forgotten`` (seconds since 1970). Raises CacheError.
    """
    with disk_errors(folder):
        # Listed after the manifests were read: an artifact is in its place before there is a manifest of it.
        digests = {f"sha256:{path.stem}" for path in (folder / "blobs" / "sha256").glob("*.onnx")}
        by_model: dict[Path, list[Path]] = {}
        for path, answer in refs:
            if str(answer.get("digest")) in digests:
                by_model.setdefault(path.parent, []).append(path)
            else:
                path.unlink(missing_ok=True)
        for paths in by_model.values():
            if len(paths) > MOST_REFS:
                for path in sorted(paths, key=_used)[:-MOST_REFS]:
                    path.unlink(missing_ok=True)
        for path in (folder / "refs").glob("*/*.part"):
            if _used(path) < forgotten:
                path.unlink(missing_ok=True)


def _used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
