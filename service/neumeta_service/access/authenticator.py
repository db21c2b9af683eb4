"""From an ``Authorization`` header to a caller."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

from cachetools import LRUCache

from neumeta_service.access.caller import Caller
from neumeta_service.access.jwt import TokenVerifier
from neumeta_service.access.keys import KeyRing
from neumeta_service.errors import Unauthenticated
from neumeta_service.watched import WatchedFiles

_MAX_REMEMBERED = 4096
_MAX_TOKEN_BYTES = 4096


class Authenticator:
    """Knows API keys, JWTs or both. What was verified once is remembered until a file changes, by the hash of the header."""

    def __init__(
        self, keys: WatchedFiles[KeyRing] | None, tokens: WatchedFiles[TokenVerifier] | None, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._keys = keys
        self._tokens = tokens
        self._clock = clock
        self._files = [file for file in (keys, tokens) if file is not None]
        self._remembered: LRUCache[bytes, Caller] = LRUCache(_MAX_REMEMBERED)

    def authenticate(self, authorization: bytes) -> Caller:
        """The caller that an ``Authorization`` header stands for; empty when there was none. Raises Unauthenticated (RFC 6750 section 3)."""
        for file in self._files:
            if file.refresh():
                self._remembered.clear()
        digest = hashlib.sha256(authorization).digest()
        caller: Caller | None = self._remembered.get(digest)
        if caller is None:
            caller = self._remembered[digest] = self._verified(authorization)
        if caller.expires_at <= self._clock():
            raise Unauthenticated("The token has expired; ask the operator for a new one.", "invalid_token")
        return caller

    def _verified(self, authorization: bytes) -> Caller:
        scheme, _, token = authorization.decode("latin-1").partition(" ")
        token = token.strip(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("This needs a token; send it as `Authorization: Bearer TOKEN`.")
        if len(token) <= _MAX_TOKEN_BYTES:
            caller = self._keys.content.find(token) if self._keys is not None else None
            if caller is not None:
                return caller
            if self._tokens is not None and token.count(".") == 2:
                return self._tokens.content.verify(token)
        raise Unauthenticated("The token is not known here; it may have been revoked. Ask the operator for a new one.", "invalid_token")
