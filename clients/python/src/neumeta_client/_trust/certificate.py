"""Who may sign: a root, or a key that certificates lead back to one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from neumeta_client._errors import CertificateExpired, SignatureInvalid
from neumeta_client._trust.envelope import Envelope

LEEWAY_S = 300
"""How far this device's clock may be behind that of the one who signed."""
MAX_CERTIFICATES = 4


@dataclass(frozen=True)
class Certificate:
    """``key`` may sign payloads of the kind ``purpose`` from ``not_before`` until ``not_after``, in seconds since 1970."""

    key: str
    purpose: str
    not_before: int
    not_after: int
    serial: str

    def check(self, key: str, purpose: str, now: float) -> None:
        """Raises SignatureInvalid or CertificateExpired unless it lets ``key`` sign that kind of payload at this time."""
        if self.key != key:
            raise SignatureInvalid(f"The certificate is for {self.key!r:.80}; the signature is by {key}.")
        if self.purpose != purpose:
            raise SignatureInvalid(f"The certificate is for the purpose {self.purpose!r:.80}; expected {purpose!r}.")
        if now + LEEWAY_S < self.not_before:
            raise CertificateExpired(f"The certificate of {key} is not valid before {moment(self.not_before)}; this device has {moment(now)}.")
        if now >= self.not_after:
            raise CertificateExpired(f"The certificate of {key} has expired on {moment(self.not_after)}; this device has {moment(now)}.")


def check_authority(key: str, purpose: str, chain: Sequence[Envelope], roots: Collection[str], now: float) -> None:
    """Raises SignatureInvalid or CertificateExpired unless ``key`` is a root, or is certified for ``purpose`` by one.

    Each certificate of ``chain`` certifies the issuer of the next one, the last certifies ``key``; the walk ends at the first root.
    """
    if len(chain) > MAX_CERTIFICATES:
        raise SignatureInvalid(f"The signature has {len(chain)} certificates; expected at most {MAX_CERTIFICATES}.")
    for envelope in reversed(chain):
        if key in roots:
            return
        envelope.open("certificate", Certificate).check(key, purpose, now)
        key, purpose = envelope.key, "certificate"
    if key not in roots:
        raise SignatureInvalid(f"The signature leads back to {key}, which is no key of the trust root.")


def moment(seconds: float) -> str:
    """A time for people, in UTC."""
    try:
        return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"second {seconds:.0f} after 1970"
