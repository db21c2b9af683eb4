"""Leases as rows of the index of a disk cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from neumeta_service.cache.disk_index import DiskIndex
from neumeta_service.cache.lease import Claim


class _Attempt(Protocol):
    async def __call__(self, name: str, work: Callable[..., Any], *args: Any) -> Any: ...


class DiskLeases:
    """Leases of the processes of one host, beside the entries of a ``DiskCache``, whose ``attempt`` deals with failures."""

    def __init__(self, index: DiskIndex, attempt: _Attempt) -> None:
        self._index = index
        self._attempt = attempt

    async def claim(self, key: str, token: str, ttl_s: float) -> Claim:
        """Take the lease; UNKNOWN when the disk fails."""
        claim: Claim | None = await self._attempt("claim", self._index.claim, key, token, ttl_s)
        return claim or Claim.UNKNOWN

    async def renew(self, key: str, token: str, ttl_s: float) -> bool:
        """Hold it longer. A failure is no loss: the next renewal may come in time."""
        return await self._attempt("renew", self._index.renew, key, token, ttl_s) is not False

    async def release(self, key: str, token: str) -> None:
        """Delete the lease if the token is in it."""
        await self._attempt("release", self._index.release, key, token)
