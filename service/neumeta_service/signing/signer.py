"""Signs manifests with the online key, and takes up a renewed key or certificate without a restart."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from neumeta_core.errors import KeyRefused, SignatureRefused
from neumeta_core.signing.bundle import Chain
from neumeta_core.signing.credentials import Credentials
from neumeta_core.signing.keys import read_key
from neumeta_core.signing.manifest import ManifestStatement
from neumeta_core.signing.payload import Kind
from neumeta_core.signing.roots import Roots

logger = logging.getLogger(__name__)
LOOK_S = 10
"""Seconds between two looks at the files."""

Clock = Callable[[], float]
"""Seconds since 1970."""
Stamp = tuple[tuple[int, int, int, int], ...]


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

    def stamp(self) -> Stamp:
        """Differs when a file was replaced; empty while one is missing."""
        try:
            found = [path.stat() for path in (self.key, self.certificate)]
        except OSError:
            return ()
        return tuple((status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size) for status in found)


class Signer:
    """Signs for ``lifetime_s`` seconds each. Belongs to one thread. Raises KeyRefused or SignatureRefused when it cannot start.

    An expired certificate does not stop it: what it signs then is refused, with that reason, by all who verify, and taken by all who
    do not.
    """

    def __init__(self, files: KeyFiles, lifetime_s: int, clock: Clock = time.time) -> None:
        self._files = files
        self._lifetime_s = lifetime_s
        self._clock = clock
        self._stamp = self._seen = files.stamp()
        self._credentials = files.read(clock())
        self._look_at = clock() + LOOK_S

    @property
    def expires(self) -> float:
        """When the first of the certificates in use expires, in seconds since 1970."""
        return self._credentials.expires or 0

    def sign(self, manifest: Mapping[str, object]) -> Signed:
        """Sign a manifest as JSON values."""
        now = self._clock()
        self._look(now)
        statement = ManifestStatement.model_validate({"manifest": manifest, "issued": int(now), "expires": int(now) + self._lifetime_s})
        data = self._credentials.sign(statement).model_dump_json().encode()
        return Signed(data, self._credentials, now + self._lifetime_s / 2)

    def is_current(self, signed: Signed) -> bool:
        """Whether less than half of its life is over, and key and certificate are still those in use."""
        now = self._clock()
        self._look(now)
        return now < signed.renew_at and signed.credentials is self._credentials

    def _look(self, now: float) -> None:
        if now < self._look_at:
            return
        self._look_at = now + LOOK_S
        stamp = self._files.stamp()
        is_news, self._seen = stamp != self._seen, stamp
        if stamp == self._stamp:
            return
        try:
            self._credentials = self._files.read(now)
        except (KeyRefused, SignatureRefused) as error:
            # Tried again at every look: two files are never replaced in one moment, and a certificate may be there before its time.
            if is_news:
                logger.error("the changed signing key and certificate are not taken up: %s", error)
        else:
            self._stamp = stamp
            logger.info("signing with a certificate that expires at %d", self.expires)
