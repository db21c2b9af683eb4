"""Keys and tokens for tests, made as operators and identity providers make them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from neumeta_service.access.keys import Key, new_token, read_keys, write_keys

ISSUER, AUDIENCE = "https://id.example", "neumeta"
FAR = 2**33
"""A moment in the year 2242, in seconds since 1970."""


def add_key(path: Path, *scopes: str, **options: Any) -> str:
    """Add a key to a file; gives its token."""
    token, identity, digest = new_token()
    key = Key.model_validate({"id": identity, "sha256": digest, "scopes": scopes or ("read", "materialize"), **options})
    write_keys(path, [*(read_keys(path) if path.exists() else ()), key])
    return token


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


class IdentityProvider:
    """Signs tokens with a key of its own."""

    def __init__(self, kid: str = "one") -> None:
        self.kid = kid
        self._key = Ed25519PrivateKey.generate()

    def public(self) -> dict[str, Any]:
        return {**jwt.algorithms.OKPAlgorithm.to_jwk(self._key.public_key(), as_dict=True), "kid": self.kid, "alg": "EdDSA"}

    def publish(self, path: Path) -> Path:
        path.write_text(json.dumps({"keys": [self.public()]}))
        return path

    def token(self, **changes: Any) -> str:
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "device-7", "exp": FAR, "scope": "read materialize"} | changes
        return jwt.encode({name: value for name, value in claims.items() if value is not None}, self._key, "EdDSA", {"kid": self.kid})
