"""What is served at one moment; look-ups and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from neumeta_core.errors import ManifoldRefused
from neumeta_core.manifold import Manifold

from neumeta_service.catalog.aliases import LATEST
from neumeta_service.catalog.rungs import Rung
from neumeta_service.catalog.store import Release
from neumeta_service.errors import ModelNotFound, RungNotFound, VersionNotFound

VersionChoice = int | str
"""What a client says to choose a version: its number (as text too), an alias or ``latest``."""


@dataclass(frozen=True)
class Refusal:
    """A version, or a file that a model's versions share, that was found and is not used, and why."""

    name: str
    version: int | None
    """None for such a file."""
    reason: str
    file: str | None = None
    """Its name; None for a version."""

    def __str__(self) -> str:
        return f"{self.name} {self.file or f'version {self.version}'}"


class Catalog:
    """Any number of versions of each name, their aliases and rungs, and what was refused. Never changes: a reload makes another one.

    ``aliases`` lead to versions that are among the manifolds: name -> alias -> version; ``rungs`` are name -> rung -> what it selects.
    """

    def __init__(
        self,
        manifolds: Iterable[Manifold] = (),
        refusals: Iterable[Refusal] = (),
        aliases: Mapping[str, Mapping[str, int]] | None = None,
        rungs: Mapping[str, Mapping[str, Rung]] | None = None,
    ) -> None:
        ordered = sorted(manifolds, key=lambda manifold: (manifold.header.name, manifold.header.version))
        self._by_release = {(manifold.header.name, manifold.header.version): manifold for manifold in ordered}
        self._by_digest = {manifold.digest: manifold for manifold in ordered}
        newest = {name: {LATEST: version} for name, version in self._by_release}
        self._aliases = {name: newest[name] | dict((aliases or {}).get(name, {})) for name in newest}
        self._by_selector: dict[str, dict[VersionChoice, Manifold]] = {name: {} for name in newest}
        for (name, version), manifold in self._by_release.items():
            self._by_selector[name] |= {version: manifold, str(version): manifold}
        for name, named in self._aliases.items():
            self._by_selector[name] |= {alias: self._by_release[name, version] for alias, version in named.items()}
        self._rungs = dict(rungs or {})
        self.refusals = tuple(refusals)

    def __iter__(self) -> Iterator[Manifold]:
        """Every manifold, by name and version."""
        return iter(self._by_release.values())

    def __len__(self) -> int:
        return len(self._by_release)

    @property
    def releases(self) -> frozenset[Release]:
        """What is served."""
        return frozenset(self._by_release)

    def aliases(self, name: str) -> Mapping[str, int]:
        """Alias -> version, with ``latest``; empty when no version of this name is served."""
        return self._aliases.get(name, {})

    def rungs(self, name: str) -> Mapping[str, Rung]:
        """Rung -> what it selects; empty when the operator has named none."""
        return self._rungs.get(name, {})

    def rung(self, name: str, rung: str) -> Rung:
        """What a rung of a model selects. Raises RungNotFound."""
        rungs = self.rungs(name)
        if rung not in rungs:
            raise RungNotFound(name, rung, list(rungs))
        return rungs[rung]

    def refusal_of(self, name: str, file: str) -> str | None:
        """Why a file that a model's versions share is not used as it is now; None when it is, or when there is none."""
        return next((refusal.reason for refusal in self.refusals if (refusal.name, refusal.file) == (name, file)), None)

    def release(self, release: Release) -> Manifold | None:
        """The manifold of a name and version."""
        return self._by_release.get(release)

    def manifold(self, name: str, version: VersionChoice = LATEST) -> Manifold:
        """The manifold that is served under a name and a version.

        Raises ManifoldRefused when that version, or every version, was refused; else ModelNotFound or VersionNotFound.
        """
        found = self._by_selector.get(name, {}).get(version)
        if found is None:
            raise self._missing(name, version)
        return found

    def by_digest(self, digest: str) -> Manifold | None:
        """The manifold of this file digest, if it is served."""
        return self._by_digest.get(digest)

    def _missing(self, name: str, version: VersionChoice) -> Exception:
        refused = [refusal for refusal in self.refusals if refusal.name == name and refusal.version is not None]
        for refusal in reversed(refused):
            if version == LATEST or str(version) == str(refusal.version):
                return ManifoldRefused(f"{refusal} was refused: {refusal.reason}")
        return VersionNotFound(name, version) if refused or name in self._by_selector else ModelNotFound(name)
