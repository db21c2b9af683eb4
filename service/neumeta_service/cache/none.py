"""No shared tier: every replica is on its own."""

from __future__ import annotations

from neumeta_service.cache.base import Entry, Origin


class NoCache:
    """Always empty."""

    name = "none"
    leases = None

    async def get(self, origin: Origin) -> Entry | None:  # noqa: ARG002
        """None."""
        return None

    async def put(self, entry: Entry) -> None:
        """Keep nothing."""

    async def discard(self, origin: Origin) -> None:
        """There is nothing to forget."""

    async def find(self, digest: str) -> Origin | None:  # noqa: ARG002
        """None."""
        return None

    async def aclose(self) -> None:
        """Nothing to release."""
