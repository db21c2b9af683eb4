"""JSON Web Tokens (RFC 7519) of an identity provider whose public keys lie in a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from neumeta_service.access.caller import SCOPES, Caller
from neumeta_service.errors import Unauthenticated
from neumeta_service.settings import SettingsError

if TYPE_CHECKING:
    from jwt import PyJWK

# Signatures by a key that the service does not hold. A token's own header never chooses among them (RFC 8725 section 3.1): its key does.
_ALGORITHMS = ("RS256", "ES256", "EdDSA")
_REQUIRED = ("exp", "iss", "aud", "sub")
# For clocks that differ.
_LEEWAY_S = 30


class TokenVerifier:
    """Verifies tokens for one issuer and audience with the keys of a JWK Set (RFC 7517), by their ``kid``."""

    def __init__(self, keys: dict[str, PyJWK], *, issuer: str, audience: str) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience

    def verify(self, token: str) -> Caller:
        """The caller that a token stands for, with the scopes in its claim ``scope`` (RFC 8693 section 4.2). Raises Unauthenticated."""
        import jwt

        try:
            key = self._keys[jwt.get_unverified_header(token).get("kid", "")]
            claims = jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm_name],
                issuer=self._issuer,
                audience=self._audience,
                leeway=_LEEWAY_S,
                options={"require": list(_REQUIRED)},
            )
        except KeyError:
            raise Unauthenticated("The JWT is signed with a key that this service does not know.", "invalid_token") from None
        except jwt.InvalidTokenError as error:
            raise Unauthenticated(f"The JWT is not valid: {str(error).rstrip(chr(46))}.", "invalid_token") from None
        granted = SCOPES.intersection(str(claims.get("scope", "")).split())
        try:
            claims["sub"].encode()  # Half of a surrogate pair is no text: neither Redis nor a log can hold it.
            return Caller(f"jwt:{claims['sub']}", granted, float(claims["exp"]) + _LEEWAY_S)
        except (UnicodeEncodeError, OverflowError):
            raise Unauthenticated("The JWT is not valid: its subject is no text, or it expires at no time that there is.", "invalid_token") from None


def read_verifier(path: Path, *, issuer: str, audience: str) -> TokenVerifier:
    """A verifier with the JWK Set in a file. Raises SettingsError."""
    try:
        import jwt
    except ImportError:
        raise SettingsError("NEUMETA_JWT_KEYS_FILE needs the package PyJWT: pip install 'neumeta-server[jwt]'.") from None
    try:
        keys = jwt.PyJWKSet.from_json(path.read_text(encoding="utf-8")).keys
    except OSError as error:
        raise SettingsError(f"The file of JWT keys {path} cannot be read: {error.strerror}.") from None
    except (ValueError, AttributeError, jwt.PyJWTError):
        raise SettingsError(f"The file of JWT keys {path} is no JWK Set (RFC 7517) with a usable key.") from None
    if not all(isinstance(key.key_id, str | None) for key in keys):
        raise SettingsError(f"The file of JWT keys {path} has a kid that is no text.")
    usable = [key for key in keys if key.algorithm_name in _ALGORITHMS and key.public_key_use in (None, "sig")]
    if not usable:
        raise SettingsError(f"The file of JWT keys {path} has no key for {', '.join(_ALGORITHMS)}.")
    # A token names its key by this alone.
    names = [key.key_id or "" for key in usable]
    if len(set(names)) < len(names):
        raise SettingsError(f"The file of JWT keys {path} has two keys of one kid, or several without.")
    return TokenVerifier(dict(zip(names, usable, strict=True)), issuer=issuer, audience=audience)
