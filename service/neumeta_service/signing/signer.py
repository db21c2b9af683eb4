"""Signs manifests with the online key, and takes up a renewed key or certificate without a restart."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from neumeta_core.errors import SignatureRefused
from neumeta_core.signing.bundle import Chain
from neumeta_core.signing.credentials import Credentials
from neumeta_core.signing.keys import read_key
from neumeta_core.signing.manifest import ManifestStatement
from neumeta_core.signing.payload import Kind
from neumeta_core.signing.roots import Roots

from neumeta_service.watched import WatchedFiles

LOOK_S = 10
"""Seconds between two looks at the files."""

Clock = Callable[[], float]
"""Seconds since 1970."""


@dataclass(frozen=True)
class Signed:
    """A signed manifest: what is sent, who signed it, and until when it is sent."""

    data: bytes
    """JSON of the envelope and its certificates."""
    credentials: Credentials
    renew_at: float


@dataclass(frozen=True)
class KeyFiles:
    """Where the online key and its certificate are, and what they are checked against."""

    key: Path
    certificate: Path
    passphrase: str | None = None
    roots: Roots | None = None

    def read(self, now: float) -> Credentials:
        """Key and certificate, if they belong together and are valid now. Raises KeyRefused or SignatureRefused."""
        credentials = Credentials(read_key(self.key, self.passphrase), Chain.read(self.certificate))
        if not credentials.chain.certificates:
            raise SignatureRefused(f"{self.certificate.name} holds no certificate; `neumeta keys certify` makes one.")
        credentials.check(Kind.MANIFEST, now, self.roots)
        return credentials


class Signer:
    """Signs for ``lifetime_s`` seconds each. Belongs to one thread. Raises KeyRefused or SignatureRefused when it cannot start.

    An expired certificate does not stop it: what it signs then is refused, with that reason, by all who verify, and taken by all who
    do not.
    """

    def __init__(self, files: KeyFiles, lifetime_s: int, clock: Clock = time.time) -> None:
        self._lifetime_s = lifetime_s
        self._clock = clock
        self._credentials = WatchedFiles((files.key, files.certificate), lambda: files.read(clock()), interval_s=LOOK_S, clock=clock)

    @property
    def expires(self) -> float:
        """When the first of the certificates in use expires, in seconds since 1970."""
        return self._credentials.content.expires or 0

    def sign(self, manifest: Mapping[str, object]) -> Signed:
        """Sign a manifest as JSON values."""
        self._credentials.refresh()
        now, credentials = self._clock(), self._credentials.content
        statement = ManifestStatement.model_validate({"manifest": manifest, "issued": int(now), "expires": int(now) + self._lifetime_s})
        data = credentials.sign(statement).model_dump_json().encode()
        return Signed(data, credentials, now + self._lifetime_s / 2)

    def is_current(self, signed: Signed) -> bool:
        """Whether less than half of its life is over, and key and certificate are still those in use."""
        self._credentials.refresh()
        return self._clock() < signed.renew_at and signed.credentials is self._credentials.content
