"""From files to catalogs: each is made from the one before, and only what changed since is read."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

from neumeta_core.errors import ManifoldRefused
from neumeta_core.manifold import Manifold

from neumeta_service.catalog.aliases import LATEST, parse_aliases
from neumeta_service.catalog.catalog import Catalog, Refusal
from neumeta_service.catalog.provenance import Provenance
from neumeta_service.catalog.rungs import parse_rungs
from neumeta_service.catalog.store import ALIASES, FILE_NAME, RUNGS, Listing, Mark, Release, Store
from neumeta_service.errors import AliasesRefused, RungsRefused, StoreUnavailable

logger = logging.getLogger(__name__)
T = TypeVar("T")
Admit = Callable[[str, int, bytes], Manifold]


class Repository:
    """The models of a store. ``admit`` makes a manifold of a name, a version and a file's bytes, or raises ManifoldRefused.

    With ``provenance`` only signed files are read. A version is immutable: as long as this object lives, another file in the place of one
    that was served is refused. For one thread at a time.
    """

    def __init__(self, store: Store, admit: Admit, provenance: Provenance | None = None) -> None:
        self._store = store
        self._admit = admit
        self._provenance = provenance
        self._digests: dict[Release, str] = {}
        self._marks: dict[Release, Mark | None] = {}
        self._shared_marks: dict[tuple[str, str], Mark] = {}

    def has_changed(self) -> bool:
        """True when the store lists something else than what was read last. Raises StoreUnavailable."""
        return self._store.listing() != Listing(self._marks, self._shared_marks)

    def renew(self, current: Catalog) -> Catalog:
        """What is to be served now. Raises StoreUnavailable when the store cannot be listed; what it lists and cannot give is refused.

        A version whose folder has gone is withdrawn. One that is refused now and was served goes on being served.
        """
        listing = self._store.listing()
        self._marks = {release: mark for release, mark in self._marks.items() if release in listing.versions}
        refusals: list[Refusal] = []
        manifolds = [self._version(current, release, mark, refusals) for release, mark in sorted(listing.versions.items())]
        served = [manifold for manifold in manifolds if manifold is not None]
        self._shared_marks = {}
        aliases = {name: self._aliases(name, mark, current, Catalog(served), refusals) for name, mark in listing.marks_of(ALIASES)}
        rungs = {name: self._shared(name, RUNGS, mark, parse_rungs, current.rungs(name), refusals) for name, mark in listing.marks_of(RUNGS)}
        for refusal in refusals:
            if refusal not in current.refusals:
                logger.error("%s is refused: %s", refusal, refusal.reason)
        return Catalog(served, refusals, aliases, rungs)

    def _version(self, current: Catalog, release: Release, mark: Mark | None, refusals: list[Refusal]) -> Manifold | None:
        loaded = current.release(release)
        is_refused = any((refusal.name, refusal.version) == release for refusal in current.refusals)
        if loaded is not None and not is_refused and self._marks.get(release) == mark:
            return loaded
        try:
            return self._load(loaded, release, mark)
        except (ManifoldRefused, StoreUnavailable) as error:
            refusals.append(Refusal(*release, str(error)))
            return loaded

    def _load(self, loaded: Manifold | None, release: Release, mark: Mark | None) -> Manifold:
        name, version = release
        if mark is None:
            self._marks[release] = None
            raise ManifoldRefused(f"its folder holds no {FILE_NAME}.")
        data = self._store.read(name, str(version), FILE_NAME)
        signature = None if self._provenance is None else self._store.read_signature(release)
        self._marks[release] = mark  # It stands for both files, and what has its mark is not read again.
        known = self._digests.get(release)
        if known is not None and known != f"sha256:{hashlib.sha256(data).hexdigest()}":
            raise ManifoldRefused(f"the file is another than {known}, which was served; versions are immutable: publish it as a new version.")
        if self._provenance is not None:
            self._provenance.check(data, name, version, signature)
        if loaded is None:
            loaded = self._admit(name, version, data)
            self._digests[release] = loaded.digest
        return loaded

    def _aliases(self, name: str, mark: Mark, current: Catalog, served: Catalog, refusals: list[Refusal]) -> Mapping[str, int]:
        versions = {version for model, version in served.releases if model == name}
        before = {alias: version for alias, version in current.aliases(name).items() if alias != LATEST and version in versions}
        return self._shared(name, ALIASES, mark, partial(parse_aliases, served=versions), before, refusals)

    def _shared(self, name: str, file: str, mark: Mark, parse: Callable[[bytes], T], before: T, refusals: list[Refusal]) -> T:
        """What a file says that a model's versions share; what it said ``before`` when it is refused."""
        try:
            data = self._store.read(name, file)
            self._shared_marks[name, file] = mark
            return parse(data)
        except (AliasesRefused, RungsRefused, StoreUnavailable) as error:
            refusals.append(Refusal(name, None, str(error), file))
            return before
