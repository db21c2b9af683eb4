"""The cache folder: artifacts under their digest, manifests under model and request.

CACHE/blobs/sha256/HEX.onnx          the bytes, verified before they get this name and again when they are found
CACHE/blobs/sha256/HEX.onnx.part     a download that is in progress, or was interrupted and will be continued
CACHE/refs/MODEL/HEX.json            the manifest as the service sent it; HEX is the digest of service and request; where
                                     one led to a version that never changes, there is one more, for the request with its number
CACHE/refs/MODEL/HEX.verified.json   the same, kept by a client with a trust root, which has verified it; no other client writes or reads it

Processes and threads share a folder: a download is locked by the one that writes it, every file appears by an atomic
rename, and two of the same name hold the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Optional

from neumeta_client._errors import CacheError, IntegrityError
from neumeta_client._local.collection import CacheEntry, collect, inventory
from neumeta_client._local.download import Download, Progress
from neumeta_client._local.part import Part, disk_errors
from neumeta_client._local.refs import VERIFIED, references
from neumeta_client._types import Manifest

logger = logging.getLogger(__name__)


class Cache:
    """Artifacts on disk, named by what they hold. Raises CacheError when the disk refuses.

    What a client ``verifies`` is kept apart from what others keep: it goes on being good when its signature has expired.
    """

    def __init__(self, folder: Path, *, verifies: bool = False) -> None:
        self.folder = folder
        self._verifies = verifies
        self._intact: dict[Path, tuple[int, int, int]] = {}

    def find(self, manifest: Manifest) -> Optional[Path]:
        """The artifact's file if it is there and verifies; a corrupt one is removed.

        A file that this object has verified is not read again as long as its size, time and place on the disk stay the same.
        Raises IntegrityError when it is the manifest that is wrong.
        """
        path = self._blob(manifest)
        with disk_errors(path):
            try:
                with path.open("rb") as file:
                    found = os.fstat(file.fileno())
                    # Reading takes a while, in which another process may look for what was not used lately.
                    _touch(path, found)
                    stamp = (found.st_ino, found.st_size, found.st_mtime_ns)
                    intact = self._intact.get(path) == stamp or _digest(file) == manifest.digest
                if intact and found.st_size != manifest.size:
                    raise IntegrityError(f"The manifest names {manifest.size} bytes for {manifest.digest}, which has {found.st_size}.")
                if intact:
                    # Once more, as this fails when the file was removed all the same.
                    _touch(path, found)
                    self._intact[path] = stamp
                    return path
                logger.warning("%s is corrupt and will be fetched again", path)
                # Another process may have put a good file in its place meanwhile.
                if os.path.samestat(found, path.stat()):
                    path.unlink()
            except FileNotFoundError:
                pass
        return None

    def download(self, manifest: Manifest, progress: Optional[Progress] = None) -> Download:
        """The artifact's download, new or to be continued."""
        return Download(self._blob(manifest), digest=manifest.digest, size=manifest.size, progress=progress)

    def drop(self, manifest: Manifest) -> None:
        """Remove what there is of a download that nobody will continue."""
        with suppress(CacheError), self.download(manifest) as download:
            if download.lock():
                download.restart()

    def remember(self, model: str, key: str, answer: object) -> None:
        """Keep the manifest that answered a request as it came, fields that this version does not know included."""
        path, data = self._ref(model, key), json.dumps(answer, indent=2).encode()
        with Part(path, digest=f"sha256:{hashlib.sha256(data).hexdigest()}", size=len(data)) as part:
            part.write(data)
            part.commit()

    def recall(self, model: str, key: str) -> object:
        """The manifest that answered the request last; None when there is none, or nothing that can be read."""
        path = self._ref(model, key)
        with disk_errors(path):
            try:
                value: object = json.loads(path.read_bytes())
            except (FileNotFoundError, NotADirectoryError):
                return None
            except ValueError:
                logger.warning("%s is corrupt and will be asked for again", path)
                return None
        # When a model has too many of them, those used last stay.
        with suppress(OSError):
            os.utime(path)
        return value

    def digest_of(self, path: Path) -> str:
        """``sha256:`` and the hex digest of any file."""
        with disk_errors(path), path.open("rb") as file:
            return _digest(file)

    def manifests_of(self, digest: str) -> tuple[dict[str, object], ...]:
        """The manifests that were kept and name these bytes, in no order that means anything; for a client that verifies, the verified ones."""
        kept = [(path, answer) for path, answer in references(self.folder) if answer.get("digest") == digest]
        return tuple(answer for path, answer in kept if path.stem.endswith(VERIFIED) or not self._verifies)

    def entries(self) -> tuple[CacheEntry, ...]:
        """What the cache holds, the least recently used first."""
        return inventory(self.folder)

    def collect(self, limit: int, *, keep: Optional[Path] = None, grace_s: float = 0.0) -> tuple[CacheEntry, ...]:
        """Remove what was used least recently until at most ``limit`` bytes are left, and say what.

        The file ``keep`` stays, and what was used in the last ``grace_s`` seconds.
        """
        return collect(self.folder, limit, keep=keep, grace_s=grace_s)

    def _blob(self, manifest: Manifest) -> Path:
        return self.folder / "blobs" / "sha256" / f"{manifest.digest.split(':')[1]}.onnx"

    def _ref(self, model: str, key: str) -> Path:
        return self.folder / "refs" / model / f"{key}{VERIFIED if self._verifies else ''}.json"


def _touch(path: Path, found: os.stat_result) -> None:
    """Say that a file is used. Raises FileNotFoundError when it is gone; a folder that may only be read will do."""
    # The time of access says what was used last; the time of change stays, as it belongs to what was verified.
    try:
        os.utime(path, ns=(time.time_ns(), found.st_mtime_ns))
    except FileNotFoundError:
        raise
    except OSError:
        pass


def _digest(file: BinaryIO) -> str:
    sha256 = hashlib.sha256()
    for chunk in iter(lambda: file.read(1 << 20), b""):
        sha256.update(chunk)
    return f"sha256:{sha256.hexdigest()}"
