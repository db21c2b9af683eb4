"""Leases in Redis: a key with a token that expires, and scripts where looking and changing have to be one step."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from redis.asyncio import Redis, RedisCluster

from neumeta_service.cache.lease import Claim

Reply = TypeVar("Reply")
# KEYS: lease, meta, blob. ARGV: token, milliseconds.
_CLAIM = """
if redis.call('exists', KEYS[2], KEYS[3]) == 2 then return 'stored' end
return redis.call('set', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) and 'ours' or 'theirs'
"""
_RENEW = "return redis.call('get', KEYS[1]) == ARGV[1] and redis.call('pexpire', KEYS[1], ARGV[2]) or 0"
_RELEASE = "return redis.call('get', KEYS[1]) == ARGV[1] and redis.call('del', KEYS[1]) or 0"


class _Attempt(Protocol):
    async def __call__(self, name: str, operation: Callable[[], Awaitable[Reply]]) -> Reply | None: ...


class RedisLeases:
    """Leases beside the entries of a ``RedisCache``, whose ``attempt`` deals with failures."""

    def __init__(self, client: Redis | RedisCluster, attempt: _Attempt) -> None:
        self._client = client
        self._attempt = attempt

    async def claim(self, key: str, token: str, ttl_s: float) -> Claim:
        """Take the lease; UNKNOWN when Redis fails."""
        keys = [f"nm:v1:{{{key}}}:{part}" for part in ("lease", "meta", "blob")]

        async def claim() -> Claim:
            return Claim((await self._client.eval(_CLAIM, len(keys), *keys, token, _ms(ttl_s))).decode())

        return await self._attempt("claim", claim) or Claim.UNKNOWN

    async def renew(self, key: str, token: str, ttl_s: float) -> bool:
        """Hold it longer. A failure is no loss: the next renewal may come in time."""
        reply = await self._attempt("renew", lambda: self._client.eval(_RENEW, 1, _lease_key(key), token, _ms(ttl_s)))
        return bool(reply != 0)

    async def release(self, key: str, token: str) -> None:
        """Delete the lease if the token is in it."""
        await self._attempt("release", lambda: self._client.eval(_RELEASE, 1, _lease_key(key), token))


def _lease_key(key: str) -> str:
    return f"nm:v1:{{{key}}}:lease"


def _ms(seconds: float) -> int:
    return max(1, round(1000 * seconds))
