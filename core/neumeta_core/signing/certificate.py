"""Certificates: one key says that another may sign one kind of payload, for a while."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import ClassVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import Field

from neumeta_core.errors import SignatureRefused
from neumeta_core.signing.envelope import Envelope, seal
from neumeta_core.signing.keys import PublicKey
from neumeta_core.signing.payload import LEEWAY_S, Kind, Payload, Seconds
from neumeta_core.signing.roots import Roots


class Certificate(Payload):
    """``key`` may sign payloads of the kind ``purpose`` from ``not_before`` until ``not_after`` (not included)."""

    kind: ClassVar[Kind] = Kind.CERTIFICATE

    key: PublicKey
    purpose: Kind
    """``certificate`` makes the key a root to everyone who trusts its issuer."""
    not_before: Seconds
    not_after: Seconds
    serial: str = Field(pattern="^[0-9a-f]{32}$")
    """Random; names this certificate in logs."""

    def check(self, key: str, purpose: Kind, now: float) -> None:
        """Raises SignatureRefused unless it lets ``key`` sign that kind of payload at this time."""
        if self.key != key:
            raise SignatureRefused(f"its certificate {self.serial} is for {self.key}; it was signed by {key}.")
        if self.purpose != purpose:
            raise SignatureRefused(f"its certificate {self.serial} is for the purpose {self.purpose}; expected {purpose}.")
        if now + LEEWAY_S < self.not_before:
            raise SignatureRefused(f"its certificate {self.serial} is not valid before {moment(self.not_before)}.")
        if now >= self.not_after:
            raise SignatureRefused(f"its certificate {self.serial} has expired on {moment(self.not_after)}.")


def certify(key: str, purpose: Kind, issuer: Ed25519PrivateKey, *, not_before: int, not_after: int) -> Envelope:
    """A new certificate for a public key; times are in seconds since 1970."""
    serial = secrets.token_hex(16)
    return seal(Certificate(key=key, purpose=purpose, not_before=not_before, not_after=not_after, serial=serial), issuer)


def check_authority(key: str, purpose: Kind, chain: Sequence[Envelope], roots: Roots, now: float) -> None:
    """Raises SignatureRefused unless ``key`` is a root, or is certified for ``purpose`` by one.

    Each certificate of ``chain`` certifies the issuer of the next one, the last certifies ``key``. The walk ends at the first key that is
    trusted, so that those who trust an old root and those who trust its successor can be given the same chain.
    """
    for envelope in reversed(chain):
        if key in roots:
            return
        envelope.open(Certificate).check(key, purpose, now)
        key, purpose = envelope.key, Kind.CERTIFICATE
    if key not in roots:
        raise SignatureRefused(f"it leads back to {key}, which is no key of the trust root.")


def moment(seconds: int) -> str:
    """A time for people, in UTC."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"second {seconds} after 1970"
