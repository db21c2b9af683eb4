"""What is transmitted and stored: an envelope, and the certificates that lead from its key to a root."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from neumeta_core.errors import SignatureRefused
from neumeta_core.signing.certificate import check_authority
from neumeta_core.signing.envelope import Envelope
from neumeta_core.signing.payload import Payload
from neumeta_core.signing.roots import Roots
from neumeta_core.validation import first_fault

P = TypeVar("P", bound=Payload)
Self = TypeVar("Self", bound="SignedFile")
MAX_BYTES = 64 * 1024
"""Longest file that is read."""


class SignedFile(BaseModel):
    """Base of what is stored beside keys and manifolds as JSON."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    @classmethod
    def read(cls: type[Self], path: Path) -> Self:
        """Read a file; SignatureRefused when it is missing, too long or something else."""
        try:
            with path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise SignatureRefused(f"{path} cannot be read: {error.strerror or error}.") from None
        return cls.parse(data, path.name)

    @classmethod
    def parse(cls: type[Self], data: bytes, name: str) -> Self:
        """Read the bytes of the file ``name``; SignatureRefused when they are too many or something else."""
        if len(data) > MAX_BYTES:
            raise SignatureRefused(f"{name} is longer than {MAX_BYTES} bytes.")
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise SignatureRefused(f"{name} is damaged or something else; {first_fault(error)}") from None

    def json_text(self) -> str:
        """As JSON, for a file."""
        return self.model_dump_json(indent=2) + "\n"


class Chain(SignedFile):
    """Certificates, those of roots first: each certifies the issuer of the next one."""

    certificates: tuple[Envelope, ...] = Field(default=(), max_length=4)


class Bundle(Chain):
    """A signed payload with the certificates of its key."""

    envelope: Envelope

    def open(self, kind: type[P], roots: Roots, now: float) -> P:
        """The payload, once everything about it is right. Raises SignatureRefused."""
        check_authority(self.envelope.key, kind.kind, self.certificates, roots, now)
        return self.envelope.open(kind)
