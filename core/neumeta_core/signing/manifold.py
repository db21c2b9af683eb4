"""The signature of a manifold file, in ``manifold.safetensors.sig`` beside it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from neumeta_core.errors import SignatureRefused
from neumeta_core.header import NAME_PATTERN
from neumeta_core.record import Version
from neumeta_core.signing.bundle import Bundle
from neumeta_core.signing.payload import Kind, Payload, Seconds
from neumeta_core.signing.roots import Roots

SUFFIX = ".sig"


class ManifoldStatement(Payload):
    """These bytes are this version of this model."""

    kind: ClassVar[Kind] = Kind.MANIFOLD

    name: str = Field(pattern=NAME_PATTERN)
    version: Version
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size: Annotated[int, Field(ge=1, lt=2**53)]
    """Bytes of the file."""
    signed_at: Seconds


def state_manifold(data: bytes, name: str, version: int, *, now: float) -> ManifoldStatement:
    """The statement about a manifold file's bytes."""
    return ManifoldStatement(name=name, version=version, sha256=hashlib.sha256(data).hexdigest(), size=len(data), signed_at=int(now))


def signature_path(manifold: Path) -> Path:
    """Where the signature of a manifold file is."""
    return manifold.with_name(manifold.name + SUFFIX)


def check_manifold(data: bytes, name: str, version: int, signature: Bundle, roots: Roots, now: float) -> ManifoldStatement:
    """The statement about a manifold file; SignatureRefused unless it says that these bytes are this version of this model."""
    stated = signature.open(ManifoldStatement, roots, now)
    if (stated.name, stated.version) != (name, version):
        raise SignatureRefused(f"it is of {stated.name} version {stated.version}; expected {name} version {version}.")
    if len(data) != stated.size or hashlib.sha256(data).hexdigest() != stated.sha256:
        raise SignatureRefused(f"it is of other bytes than those of the file: sha256 {stated.sha256}, {stated.size} bytes.")
    return stated
