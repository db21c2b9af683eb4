"""The manifolds that are served: ``FOLDER/NAME/VERSION/manifold.safetensors``, read once at start."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from neumeta_core.assembly import assemble
from neumeta_core.errors import ManifoldRefused, NeuMetaError
from neumeta_core.manifold import Manifold

from neumeta_service.errors import ModelNotFound

logger = logging.getLogger(__name__)
FILE_NAME = "manifold.safetensors"


@dataclass(frozen=True)
class Refusal:
    """A version that is not served, and why."""

    name: str
    version: int
    reason: str


class Catalog:
    """One manifold for each name, and what was refused."""

    def __init__(self, manifolds: Iterable[Manifold] = (), refusals: Iterable[Refusal] = ()) -> None:
        self._by_name = {manifold.header.name: manifold for manifold in manifolds}
        self._by_digest = {manifold.digest: manifold for manifold in self._by_name.values()}
        self.refusals = tuple(refusals)

    def __iter__(self) -> Iterator[Manifold]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def manifold(self, name: str) -> Manifold:
        """The manifold that is served under a name; ManifoldRefused when only refused ones have it, else ModelNotFound."""
        if name in self._by_name:
            return self._by_name[name]
        for refusal in self.refusals:
            if refusal.name == name:
                raise ManifoldRefused(f"{name} version {refusal.version} was refused at start: {refusal.reason}")
        raise ModelNotFound(name)

    def by_digest(self, digest: str) -> Manifold:
        """The manifold of this file digest; ModelNotFound when it is not served."""
        if digest not in self._by_digest:
            raise ModelNotFound(digest)
        return self._by_digest[digest]


def load_catalog(folder: Path, device: str, dtype: str = "fp32") -> Catalog:
    """Of each name the newest version that can be loaded; newer ones that cannot are refused and logged."""
    manifolds: list[Manifold] = []
    refusals: list[Refusal] = []
    for model in sorted(path for path in folder.iterdir() if path.is_dir()):
        for version in sorted(_versions(model), reverse=True):
            try:
                manifolds.append(_load(model.name, version, model / str(version) / FILE_NAME, device, dtype))
            except ManifoldRefused as error:
                logger.error("%s version %d is refused: %s", model.name, version, error)
                refusals.append(Refusal(model.name, version, str(error)))
            else:
                logger.info("%s version %d is served", model.name, version)
                break
    return Catalog(manifolds, refusals)


def _versions(model: Path) -> list[int]:
    return [int(path.name) for path in model.iterdir() if path.is_dir() and re.fullmatch("[1-9][0-9]{0,8}", path.name)]


def _load(name: str, version: int, path: Path, device: str, dtype: str) -> Manifold:
    try:
        manifold = Manifold.load(path, device, dtype)
    except ManifoldRefused:
        raise
    except Exception as error:  # One bad file must not stop the others, whatever it does to the reader.
        logger.exception("reading %s failed", path)
        raise ManifoldRefused(f"the file cannot be read: {type(error).__name__}.") from error
    if (manifold.header.name, manifold.header.version) != (name, version):
        found = f"{manifold.header.name} version {manifold.header.version}"
        raise ManifoldRefused(f"the folder says {name} version {version}; the file says {found}.")
    _build_full(manifold)
    return manifold


def _build_full(manifold: Manifold) -> None:
    """Refuse a file whose full network cannot be built; it also spares the first request what libraries set up once."""
    full = manifold.configure(compression=0.0)
    try:
        assemble(manifold, full, manifold.materialize(full))
    except NeuMetaError as error:
        raise ManifoldRefused(f"its full network cannot be built: {error}") from error
