"""Where manifold files lie: ``NAME/VERSION/manifold.safetensors`` in a folder, or in whatever else fsspec opens."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from fsspec.core import url_to_fs
from neumeta_core.header import NAME_PATTERN

from neumeta_service.location import translated

FILE_NAME = "manifold.safetensors"
SIGNATURE = f"{FILE_NAME}.sig"
ALIASES = "aliases.json"
RUNGS = "rungs.json"
SHARED = (ALIASES, RUNGS)
"""Files that speak of all versions of a model, beside their folders."""
_NAME = re.compile(NAME_PATTERN)
_VERSION = re.compile("[1-9][0-9]{0,8}")

Release = tuple[str, int]
"""Name and version of a model."""
Mark = str
"""All that a store says about a file and its signature (size, times, ETag, inode): when it changes, the file is read again."""


@dataclass(frozen=True)
class Listing:
    """What a store holds at one moment."""

    versions: Mapping[Release, Mark | None] = field(default_factory=dict)
    """None for a folder without a manifold file."""
    shared: Mapping[tuple[str, str], Mark] = field(default_factory=dict)
    """Of the files that a model's versions share, by the model's name and the file's."""

    def marks_of(self, file: str) -> list[tuple[str, Mark]]:
        """The models that have such a file, each with its mark."""
        return [(name, mark) for (name, found), mark in self.shared.items() if found == file]


class Store:
    """A folder's path or an fsspec URL. What backends raise becomes StoreUnavailable, without the location, which clients may see."""

    def __init__(self, location: str) -> None:
        with translated("NEUMETA_MODELS"):
            self._backend, root = url_to_fs(location)
        self._root = root.rstrip("/")

    def listing(self) -> Listing:
        """Every version's folder and every shared file; other names are passed over. One request to list each folder."""
        versions: dict[Release, Mark | None] = {}
        shared: dict[tuple[str, str], Mark] = {}
        with translated("NEUMETA_MODELS"):
            self._backend.invalidate_cache()
            for name in self._folders(self._entries(self._root), _NAME):
                with suppress(FileNotFoundError):  # It has gone since.
                    entries = self._entries(f"{self._root}/{name}")
                    versions |= {(name, int(version)): self._mark(name, version) for version in self._folders(entries, _VERSION)}
                    shared |= {(name, file): repr(entries[file]) for file in SHARED if file in entries}
        return Listing(versions, shared)

    def read(self, *path: str) -> bytes:
        """A file's bytes; ``path`` is relative, part by part."""
        with translated("/".join(path)):
            return bytes(self._backend.cat_file("/".join([self._root, *path])))

    def read_signature(self, release: Release) -> bytes | None:
        """The bytes of the signature beside a manifold file; None without one."""
        name, version = release
        with translated(f"{name}/{version}/{SIGNATURE}"):
            try:
                return bytes(self._backend.cat_file("/".join([self._root, name, str(version), SIGNATURE])))
            except FileNotFoundError:
                return None

    def _mark(self, name: str, version: str) -> Mark | None:
        entries = self._entries(f"{self._root}/{name}/{version}")
        return repr([entries.get(SIGNATURE), entries[FILE_NAME]]) if FILE_NAME in entries else None

    def _folders(self, entries: Mapping[str, Mapping[str, Any]], pattern: re.Pattern[str]) -> list[str]:
        return [name for name, entry in entries.items() if entry["type"] == "directory" and pattern.fullmatch(name)]

    def _entries(self, folder: str) -> dict[str, dict[str, Any]]:
        """What lies in a folder, by name; links are followed, and those that lead nowhere, or to themselves, left out."""
        found = {}
        for entry in self._backend.ls(folder, detail=True):
            if not entry.get("islink"):
                found[_last_part(entry["name"])] = entry
                continue
            with suppress(OSError):
                found[_last_part(entry["name"])] = self._backend.info(entry["name"])
        return found


def _last_part(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]
