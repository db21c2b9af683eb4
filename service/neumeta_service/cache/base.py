"""What every cache tier offers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from neumeta_core.spec import Spec

from neumeta_service.cache.lease import Leases


@dataclass(frozen=True)
class Origin:
    """What an artifact was made from, and the cache key that it was stored under."""

    key: str
    """``Spec.cache_key``: hexadecimal."""
    spec: Spec


@dataclass(frozen=True)
class Entry:
    """An artifact, ready to be sent."""

    origin: Origin
    digest: str
    """``sha256:…`` of the data."""
    filename: str
    data: bytes


class Cache(Protocol):
    """One tier. No method raises because of the tier's own troubles: a tier that fails looks empty."""

    name: str
    """``memory``, ``disk``, ``redis``: for headers and metrics."""

    @property
    def leases(self) -> Leases | None:
        """Where replicas that share this tier agree who builds; None when no others share it."""

    async def get(self, origin: Origin) -> Entry | None:
        """The entry stored under ``origin.key``, with its digest verified; None when there is none."""

    async def put(self, entry: Entry) -> None:
        """Keep an entry, and its digest's origin."""

    async def discard(self, origin: Origin) -> None:
        """Forget the entry stored under ``origin.key``; its digest's origin may stay."""

    async def find(self, digest: str) -> Origin | None:
        """What the artifact of this digest was made from, also after the entry itself was evicted."""

    async def aclose(self) -> None:
        """Release connections."""
