"""What a pull returns."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neumeta_client._errors import MissingExtra
from neumeta_client._local.part import Part, disk_errors
from neumeta_client._local.target import replaceable, target_in
from neumeta_client._local.verified import read_verified
from neumeta_client._types import Manifest

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


@dataclass(frozen=True)
class Artifact:
    """A verified ONNX file in the cache folder, and its manifest."""

    path: Path
    manifest: Manifest
    from_cache: bool
    """Whether the file was there before; then nothing but the manifest was asked of the service."""
    stale: bool = False
    """Whether the service could not be asked, so that it may have a newer version."""

    @property
    def digest(self) -> str:
        """``sha256:`` and the hex digest of the file."""
        return self.manifest.digest

    def session(self, **options: Any) -> InferenceSession:
        """An onnxruntime session of the network; ``options`` (providers, sess_options, …) go to ``InferenceSession``.

        Raises MissingExtra when onnxruntime is not installed, IntegrityError when the file in the cache was changed, CacheError when it is gone.
        """
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingExtra("onnxruntime is not installed; session() needs it: pip install 'neumeta-client[run]'.") from error
        return onnxruntime.InferenceSession(read_verified(self.path, self.digest), **options)

    def save(self, target: str | os.PathLike[str]) -> Path:
        """Copy the network to ``target`` (in a folder: under the manifest's file name); the copy appears whole or not at all.

        What ends in a slash is a folder, which is made. A link stays, and what it leads to is replaced. Raises IntegrityError when the file
        in the cache was changed, CacheError when the disk refuses or ``target`` is no regular file.
        """
        path = target_in(target, self.manifest.filename)
        copy = Part(replaceable(path), digest=self.digest, size=self.manifest.size)
        with copy, disk_errors(self.path), self.path.open("rb") as file:
            for chunk in iter(lambda: file.read(1 << 20), b""):
                copy.write(chunk)
            copy.commit()
        return path
