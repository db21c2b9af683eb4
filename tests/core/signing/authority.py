"""Keys and certificates for tests: the same in every run, at a time of their own."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from neumeta_core.signing.bundle import Chain
from neumeta_core.signing.certificate import Certificate
from neumeta_core.signing.credentials import Credentials
from neumeta_core.signing.envelope import Envelope, seal
from neumeta_core.signing.keys import public_of
from neumeta_core.signing.payload import Kind

NOW = 1_800_000_000
DAY = 24 * 3600


def key(number: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)


ROOT, NEXT_ROOT, ONLINE, STRANGER = key(1), key(2), key(3), key(4)
ROOTS = frozenset([public_of(ROOT)])


def certificate(
    subject: Ed25519PrivateKey,
    purpose: Kind = Kind.MANIFEST,
    issuer: Ed25519PrivateKey = ROOT,
    *,
    not_before: int = NOW - DAY,
    not_after: int = NOW + 30 * DAY,
) -> Envelope:
    return seal(Certificate(key=public_of(subject), purpose=purpose, not_before=not_before, not_after=not_after, serial="0f" * 16), issuer)


def credentials(*certificates: Envelope, key: Ed25519PrivateKey = ONLINE) -> Credentials:
    return Credentials(key, Chain(certificates=certificates or (certificate(key),)))
