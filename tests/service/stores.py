"""Stores of models from their writer's side, and what reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import fsspec
from fsspec.implementations.memory import MemoryFileSystem
from neumeta_core.manifold import Manifold
from neumeta_service.catalog.admission import admit
from neumeta_service.catalog.catalog import Catalog
from neumeta_service.catalog.repository import Repository
from neumeta_service.catalog.store import Store

from tests.tiny import save_tiny


class Place:
    """A store seen from its writer's side."""

    def __init__(self, location: str, scratch: Path) -> None:
        self.location = location
        self._scratch = scratch
        self._backend, self._root = fsspec.url_to_fs(location)
        self.write("keep.md", b"so that the place exists")

    def write(self, path: str, data: bytes) -> None:
        self._backend.makedirs(f"{self._root}/{path}".rpartition("/")[0], exist_ok=True)
        self._backend.pipe_file(f"{self._root}/{path}", data)

    def publish(self, version: int = 1, **arguments: Any) -> bytes:
        data = save_tiny(self._scratch, version=version, **arguments).read_bytes()
        self.write(f"{arguments.get('name', 'tiny')}/{version}/manifold.safetensors", data)
        return data

    def remove(self, path: str) -> None:
        self._backend.rm(f"{self._root}/{path}", recursive=True)

    def remove_all(self) -> None:
        self._backend.rm(self._root, recursive=True)


class Remote(MemoryFileSystem):
    """The object store in memory, read as object stores are: listings are remembered, and failures are the client library's own."""

    protocol = "remote"
    listings: ClassVar[dict[str, Any]] = {}
    failure: ClassVar[Exception | None] = None

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.removeprefix("remote://")))

    def ls(self, path: str, detail: bool = True, **options: Any) -> Any:
        if self.failure is not None:
            raise self.failure
        if path not in self.listings:
            self.listings[path] = super().ls(path, detail=detail, **options)
        return self.listings[path]

    def invalidate_cache(self, *_: object) -> None:
        self.listings.clear()


fsspec.register_implementation("remote", Remote)


class Reader:
    """A repository that counts what it admits, and the catalog that it made last."""

    def __init__(self, place: Place) -> None:
        self.admitted: list[tuple[str, int]] = []
        self.repository = Repository(Store(place.location), self._admit)
        self.catalog = Catalog()

    def _admit(self, name: str, version: int, data: bytes) -> Manifold:
        self.admitted.append((name, version))
        return admit(name, version, data)

    def renew(self) -> list[tuple[str, int]]:
        self.catalog = self.repository.renew(self.catalog)
        return sorted(self.catalog.releases)

    def refused(self) -> dict[tuple[str, int | None], str]:
        return {(refusal.name, refusal.version): refusal.reason for refusal in self.catalog.refusals}
