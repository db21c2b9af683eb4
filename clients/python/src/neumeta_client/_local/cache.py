"""The cache folder: artifacts under their digest, manifests under model and spec.

CACHE/blobs/sha256/HEX.onnx          the bytes, verified before they get this name and again whenever they are found
CACHE/blobs/sha256/HEX.onnx.ID.part  a download in progress, seen by nobody else
CACHE/refs/MODEL/HEX.json            the manifest as the service sent it; HEX is the spec's digest

Processes and threads share a folder without locks: every file appears by an atomic rename, and two of the same name
hold the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from pathlib import Path
from typing import BinaryIO

from neumeta_client._local.part import Part, disk_errors
from neumeta_client._types import Manifest

logger = logging.getLogger(__name__)


class Cache:
    """Artifacts on disk, named by what they hold. Raises CacheError when the disk refuses."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, manifest: Manifest) -> Path | None:
        """The artifact's file if it is there and verifies; a corrupt one is removed."""
        path = self._blob(manifest)
        with disk_errors(path):
            try:
                with path.open("rb") as file:
                    found = os.fstat(file.fileno())
                    intact = found.st_size == manifest.size and _digest(file) == manifest.digest
                if intact:
                    return path
                logger.warning("%s is corrupt and will be fetched again", path)
                # Another process may have put a good file in its place meanwhile.
                if os.path.samestat(found, path.stat()):
                    path.unlink()
            except FileNotFoundError:
                pass
        return None

    def part(self, manifest: Manifest) -> Part:
        """A new download of the artifact."""
        return Part(self._blob(manifest), digest=manifest.digest, size=manifest.size)

    def remember(self, manifest: Manifest, answer: object) -> None:
        """Keep the manifest as it came, fields that this version does not know included."""
        path = self.folder / "refs" / manifest.model / f"{_hex(manifest.spec_digest)}.json"
        data = json.dumps(answer, indent=2).encode()
        with disk_errors(path):
            if path.is_file() and path.read_bytes() == data:
                return
        with Part(path, digest=f"sha256:{hashlib.sha256(data).hexdigest()}", size=len(data)) as part:
            part.write(data)
            part.commit()

    def _blob(self, manifest: Manifest) -> Path:
        return self.folder / "blobs" / "sha256" / f"{_hex(manifest.digest)}.onnx"


def _hex(digest: str) -> str:
    return digest.split(":")[1]


def _digest(file: BinaryIO) -> str:
    sha256 = hashlib.sha256()
    for chunk in iter(lambda: file.read(1 << 20), b""):
        sha256.update(chunk)
    return f"sha256:{sha256.hexdigest()}"
