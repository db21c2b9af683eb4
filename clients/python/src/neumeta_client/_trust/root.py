"""What a client trusts, and the one place where a manifest's signature is checked."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Callable, Optional, Union

from neumeta_client._decode import decode
from neumeta_client._errors import InvalidRequest, SignatureExpired, SignatureInvalid, SignatureMissing, UnexpectedAnswer
from neumeta_client._protocol import Selection
from neumeta_client._trust.certificate import LEEWAY_S, check_authority, moment
from neumeta_client._trust.ed25519 import require_ed25519
from neumeta_client._trust.envelope import PUBLIC_KEY, Envelope
from neumeta_client._trust.seen import SeenVersions
from neumeta_client._types import Compression, Manifest


@dataclass(frozen=True)
class TrustRoot:
    """The public keys that a client trusts, each ``ed25519:`` and 64 hexadecimal digits. Raises InvalidRequest.

    ``seen`` is the folder that remembers the highest version of each model, ``clock`` gives seconds since 1970.
    """

    keys: frozenset[str]
    seen: Optional[Path] = None
    """Without it the folder is ``seen`` in the cache folder; somewhere else it outlives the cache."""
    clock: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        if not self.keys or not all(PUBLIC_KEY.fullmatch(key) for key in self.keys):
            raise InvalidRequest("trust_root: expected public keys, each ed25519: and 64 hexadecimal digits.")

    @classmethod
    def of(cls, root: Union[str, os.PathLike[str], TrustRoot]) -> TrustRoot:
        """A trust root from itself, from one key as text, or from a file with one key for each line (``#`` begins a comment)."""
        if isinstance(root, TrustRoot):
            return root
        if root == "":  # As a path it would be the working directory.
            raise InvalidRequest("trust_root: '' is not allowed; expected a public key, or a file with some.")
        if isinstance(root, str) and root.startswith("ed25519:"):
            return cls(frozenset([root]))
        try:
            lines = Path(root).expanduser().read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError, RuntimeError) as error:
            raise InvalidRequest(f"trust_root: {str(root)!r} cannot be read: {error}.") from error
        return cls(frozenset(key for key in (line.partition("#")[0].strip() for line in lines) if key))


@dataclass(frozen=True)
class _Bundle:
    envelope: Envelope
    certificates: tuple[Envelope, ...] = ()


@dataclass(frozen=True)
class _Statement:
    manifest: Mapping[str, object]
    issued: int
    expires: int


@dataclass(frozen=True)
class Verifier:
    """Checks manifests against a trust root. Raises MissingExtra when that cannot be done here."""

    root: TrustRoot
    seen: SeenVersions = field(repr=False)

    def __post_init__(self) -> None:
        require_ed25519()

    def verify(self, answer: object, manifest: Manifest, selection: Selection, *, kept: bool = False) -> None:
        """Raises a VerificationError unless a trusted key says, and still says, all of this manifest, and it is what was asked for.

        ``answer`` is the JSON that ``manifest`` was read from. A manifest that was ``kept`` since an earlier pull by a client that verified it may
        have expired since: it is judged as at the moment when it was signed.
        """
        signature = answer.get("signature") if isinstance(answer, Mapping) else None
        if signature is None:
            raise SignatureMissing(f"The manifest of {manifest.model} is not signed; this client has a trust root and takes signed ones only.")
        if self.signed(signature, kept=kept) != replace(manifest, compression=Compression(None, manifest.compression.effective)):
            raise SignatureInvalid(f"The manifest of {manifest.model} is not the one that was signed.")
        _check_asked(manifest, selection)
        if not _is_numbered(selection):
            self.seen.check(manifest.model, manifest.version)

    def remember(self, manifest: Manifest, selection: Selection) -> None:
        """Refuse lower versions from now on. To be called when the network itself is there: a device is never without the one that it had before."""
        if not _is_numbered(selection):
            self.seen.remember(manifest.model, manifest.version)

    def signed(self, signature: object, *, kept: bool = False) -> Manifest:
        """The manifest that a trusted key has signed. Raises a VerificationError; see ``verify``."""
        try:
            bundle = decode(_Bundle, signature, "signature")
            statement = bundle.envelope.open("manifest", _Statement)
            now = statement.issued if kept else self.root.clock()
            check_authority(bundle.envelope.key, "manifest", bundle.certificates, self.root.keys, now)
            signed = decode(Manifest, statement.manifest, "manifest")
        except UnexpectedAnswer as error:
            raise SignatureInvalid(str(error)) from error
        if now >= statement.expires or now + LEEWAY_S < statement.issued:
            valid = f"from {moment(statement.issued)} until {moment(statement.expires)}"
            raise SignatureExpired(f"The signature is valid {valid}; this device has {moment(now)}.")
        return signed


def _is_numbered(selection: Selection) -> bool:
    """Whether a version was asked for by its number: who does that wants that one, however old."""
    return str(selection.version).isdecimal()


def _check_asked(manifest: Manifest, selection: Selection) -> None:
    """Raises SignatureInvalid for a member that is none of those asked for, though it was signed."""
    costs = {"params": manifest.cost.params, "macs": manifest.cost.macs, "bytes": manifest.size}
    # A latency cannot be read from a manifest.
    limits = {name: limit for name, limit in (selection.budget or {}).items() if name in costs}
    over = [name for name, limit in limits.items() if not isinstance(limit, str) and costs[name] > limit]
    other_widths = selection.widths is not None and dict(selection.widths) != dict(manifest.spec.widths)
    if over or other_widths or manifest.spec.precision != selection.precision:
        raise SignatureInvalid(f"The signed manifest is of another member of {manifest.model} than the one that was asked for.")
