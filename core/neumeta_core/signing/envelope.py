"""A signed payload: the envelope of DSSE 1.0 (github.com/secure-systems-lab/dsse) with one signature.

What is signed are the payload's bytes as they are transmitted, so nobody has to bring JSON into a canonical form.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Annotated, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, ValidationError, WithJsonSchema

from neumeta_core.errors import SignatureRefused
from neumeta_core.signing.keys import PublicKey, is_signed_by, public_of
from neumeta_core.signing.payload import Payload
from neumeta_core.validation import first_fault

P = TypeVar("P", bound=Payload)


def _decoded(text: object) -> bytes:
    """Standard Base64 with padding (RFC 4648 section 4), and no second spelling of the same bytes."""
    if isinstance(text, bytes):
        return text
    if not isinstance(text, str) or not text.isascii():
        raise ValueError("expected Base64")
    data = b64decode(text, validate=True)
    if b64encode(data).decode() != text:
        raise ValueError("expected Base64 in its one canonical spelling")
    return data


Base64 = Annotated[
    bytes,
    PlainValidator(_decoded),
    PlainSerializer(lambda data: b64encode(data).decode(), return_type=str),
    WithJsonSchema({"type": "string", "format": "byte"}),
]


class Signature(BaseModel):
    """A signature and the public key that it is said to be of."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    keyid: PublicKey
    sig: Base64


class Envelope(BaseModel):
    """A payload's bytes, what they are, and one signature of both."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", serialize_by_alias=True)

    payload: Base64
    payload_type: str = Field(alias="payloadType", max_length=100)
    signatures: tuple[Signature]

    @property
    def key(self) -> str:
        """The public key that has signed it, if ``open`` says so too."""
        return self.signatures[0].keyid

    def open(self, kind: type[P]) -> P:
        """The payload, once its type and signature are right. Whether its key may sign it is another question. Raises SignatureRefused."""
        if self.payload_type != kind.kind.payload_type:
            raise SignatureRefused(f"it holds {self.payload_type!r}; expected {kind.kind.payload_type!r}.")
        if not is_signed_by(self.key, self.signatures[0].sig, _encoded(self.payload_type, self.payload)):
            raise SignatureRefused(f"the signature of its {kind.kind} is not valid.")
        try:
            return kind.model_validate_json(self.payload)
        except ValidationError as error:
            raise SignatureRefused(f"its {kind.kind} is not valid: {first_fault(error)}") from None


def seal(payload: Payload, key: Ed25519PrivateKey) -> Envelope:
    """Sign a payload."""
    data = payload.model_dump_json().encode()
    signature = key.sign(_encoded(payload.kind.payload_type, data))
    return Envelope(payload=data, payloadType=payload.kind.payload_type, signatures=(Signature(keyid=public_of(key), sig=signature),))


def _encoded(payload_type: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding."""
    name = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(name), name, len(payload), payload)
