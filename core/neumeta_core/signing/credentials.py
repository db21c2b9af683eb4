"""What it takes to sign: a private key and the certificates that let others trust it."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from neumeta_core.signing.bundle import Bundle, Chain
from neumeta_core.signing.certificate import Certificate, check_authority
from neumeta_core.signing.envelope import seal
from neumeta_core.signing.keys import public_of
from neumeta_core.signing.payload import Kind, Payload
from neumeta_core.signing.roots import Roots


@dataclass(frozen=True)
class Credentials:
    """A private key with its certificates; a root needs none."""

    key: Ed25519PrivateKey
    chain: Chain = field(default_factory=Chain)

    @property
    def expires(self) -> int | None:
        """When the first of the certificates expires, in seconds since 1970; None without certificates. Raises SignatureRefused."""
        return min((envelope.open(Certificate).not_after for envelope in self.chain.certificates), default=None)

    def check(self, purpose: Kind, now: float, roots: Roots | None = None) -> None:
        """Raises SignatureRefused unless all certificates are valid and let the key sign; without ``roots`` whoever issued the first is one."""
        certificates, key = self.chain.certificates, public_of(self.key)
        if certificates:  # A root that is given with the certificate of another key would be trusted without it.
            certificates[-1].open(Certificate).check(key, purpose, now)
        check_authority(key, purpose, certificates, frozenset([certificates[0].key if certificates else key]), now)
        if roots is not None:
            check_authority(key, purpose, certificates, roots, now)

    def sign(self, payload: Payload) -> Bundle:
        """Sign a payload. Whether others will take it is for ``check`` to say."""
        return Bundle(envelope=seal(payload, self.key), certificates=self.chain.certificates)
