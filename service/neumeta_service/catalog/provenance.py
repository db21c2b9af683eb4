"""Manifold files that have to prove where they come from: their signature is checked before anything else in them is looked at."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from neumeta_core.errors import ManifoldRefused, SignatureRefused
from neumeta_core.signing.bundle import Bundle
from neumeta_core.signing.manifold import check_manifold
from neumeta_core.signing.roots import Roots

from neumeta_service.catalog.store import SIGNATURE


@dataclass(frozen=True)
class Provenance:
    """Takes the manifold files that a key of the trust root, or one that it certified, has signed."""

    roots: Roots
    clock: Callable[[], float] = time.time
    """Seconds since 1970."""

    def check(self, data: bytes, name: str, version: int, signature: bytes | None) -> None:
        """ManifoldRefused unless ``signature``, the file beside, is of these bytes, this name and this version."""
        if signature is None:
            raise ManifoldRefused(f"it is not signed: {SIGNATURE} is missing beside it; `neumeta keys sign-manifold` makes it.")
        try:
            check_manifold(data, name, version, Bundle.parse(signature, SIGNATURE), self.roots, self.clock())
        except SignatureRefused as error:
            raise ManifoldRefused(f"its signature is refused: {error}") from error
