"""Manifests as they are sent: written and signed once for each artifact."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from neumeta_service.signing.signer import Signed, Signer


@dataclass(frozen=True)
class WrittenManifest:
    """What comes before and after the value of ``compression.requested``, all that differs between equal specs."""

    around: tuple[bytes, bytes]
    signed: Signed | None

    def as_json(self, requested: float | None) -> bytes:
        """The manifest for a request; ``requested`` is the compression that was asked for, if it was one."""
        return json.dumps(requested).encode().join(self.around)


def write_manifest(manifest: Mapping[str, object], signer: Signer | None) -> WrittenManifest:
    """Prepare a manifest whose ``compression.requested`` is None."""
    signed = None if signer is None else signer.sign(manifest)
    text = json.dumps(manifest, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    signature = b"null" if signed is None else signed.data
    # No string can hold this: the quotes in it would be escaped. And no other member of this name is an object.
    before, name, rest = text.partition(b'"compression":{"requested":')
    after = rest.removeprefix(b"null").removesuffix(b"}")
    return WrittenManifest((before + name, after + b',"signature":' + signature + b"}"), signed)
