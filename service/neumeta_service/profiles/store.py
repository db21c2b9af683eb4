"""Where device profiles lie: ``MODEL/DEVICE.json`` in a folder, or in whatever else fsspec opens, or in this process's memory."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from pathlib import Path

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from neumeta_core.files import whole
from pydantic import TypeAdapter, ValidationError

from neumeta_service.location import translated
from neumeta_service.profiles.profile import Profile
from neumeta_service.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)
VARIABLE = "NEUMETA_PROFILES"
_SUFFIX = ".json"
_PROFILES = TypeAdapter(list[Profile])


class ProfileStore:
    """A folder's path (made when it is missing), an fsspec URL, or None: memory that is this object's alone and ends with the process.

    Names of models and devices have to be well formed. What backends raise becomes StoreUnavailable.
    """

    def __init__(self, location: str | None, metrics: Metrics) -> None:
        self._damaged = metrics.damaged_profiles
        with translated(VARIABLE, done="used"):
            self._backend, root = url_to_fs(location or f"memory://profiles-{secrets.token_hex(16)}")
            self._root = root.rstrip("/")
            if isinstance(self._backend, LocalFileSystem):
                self._backend.makedirs(self._root, exist_ok=True)

    def devices(self, model: str) -> list[str]:
        """The devices that have a file, by name."""
        with translated(VARIABLE, done="used"):
            self._backend.invalidate_cache()
            try:
                paths = self._backend.ls(f"{self._root}/{model}", detail=False)
            except FileNotFoundError:
                return []
        names = [path.rpartition("/")[2] for path in paths]
        return sorted(name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX) and not name.startswith("."))

    def read(self, model: str, device: str) -> list[Profile]:
        """A device's profiles; none when it has no file, or a damaged one, which is logged and counted."""
        with translated(VARIABLE, done="used"):
            try:
                data = self._backend.cat_file(self._path(model, device))
            except FileNotFoundError:
                return []
        try:
            return _PROFILES.validate_json(data)
        except ValidationError as error:
            logger.error("the profile of %s on %s is damaged and not used; measure it again: %s", model, device, error.errors()[0]["msg"])
            self._damaged.inc()
            return []

    def write(self, model: str, device: str, profiles: Sequence[Profile]) -> None:
        """Put these in the place of a device's profiles: all of them, or nothing happens."""
        path, data = self._path(model, device), _PROFILES.dump_json(list(profiles))
        with translated(VARIABLE, done="used"):
            if isinstance(self._backend, LocalFileSystem):
                with whole(Path(path)) as part:
                    part.write_bytes(data)
            else:  # An object is there as a whole, or not at all.
                self._backend.makedirs(path.rpartition("/")[0], exist_ok=True)
                self._backend.pipe_file(path, data)

    def delete(self, model: str, device: str) -> bool:
        """Remove a device's file; False when there is none."""
        with translated(VARIABLE, done="used"):
            try:
                self._backend.rm_file(self._path(model, device))
            except FileNotFoundError:
                return False
        return True

    def _path(self, model: str, device: str) -> str:
        return f"{self._root}/{model}/{device}{_SUFFIX}"
