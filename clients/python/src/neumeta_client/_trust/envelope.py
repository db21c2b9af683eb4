"""A signed payload: the envelope of DSSE 1.0 with one Ed25519 signature of the payload's bytes as they came (docs/signing.md)."""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import TypeVar

from neumeta_client._decode import decode
from neumeta_client._errors import SignatureInvalid, UnexpectedAnswer
from neumeta_client._trust.ed25519 import is_signed_by

T = TypeVar("T")
PUBLIC_KEY = re.compile("ed25519:[0-9a-f]{64}")


@dataclass(frozen=True)
class Signature:
    """A signature and the public key that it is said to be of."""

    keyid: str
    sig: str


@dataclass(frozen=True)
class Envelope:
    """A payload, what it is, and one signature of both."""

    payload: str
    payloadType: str  # noqa: N815 - DSSE's name
    signatures: tuple[Signature, ...]

    @property
    def key(self) -> str:
        """The public key that has signed it, if ``open`` says so too. Raises SignatureInvalid."""
        if len(self.signatures) != 1 or not PUBLIC_KEY.fullmatch(self.signatures[0].keyid):
            raise SignatureInvalid("An envelope of the signature has not exactly one signature by an Ed25519 key.")
        return self.signatures[0].keyid

    def open(self, kind: str, record: type[T]) -> T:
        """The payload of this kind, once its type and signature are right. Raises SignatureInvalid."""
        expected = f"application/vnd.neumeta.{kind}.v1+json"
        if self.payloadType != expected:
            raise SignatureInvalid(f"The signature holds {self.payloadType!r:.80}; expected {expected!r}.")
        payload = _decoded(self.payload)
        # DSSE's pre-authentication encoding.
        message = b"DSSEv1 %d %b %d %b" % (len(expected), expected.encode(), len(payload), payload)
        if not is_signed_by(self.key, _decoded(self.signatures[0].sig), message):
            raise SignatureInvalid(f"The signature of the {kind} is not valid.")
        try:
            return decode(record, json.loads(payload), kind)
        except (ValueError, RecursionError, UnexpectedAnswer) as error:
            raise SignatureInvalid(f"What was signed is no {kind}: {error}") from error


def _decoded(text: str) -> bytes:
    """Standard Base64 with padding, and no second spelling of the same bytes. Raises SignatureInvalid."""
    try:
        data = b64decode(text, validate=True)
    except ValueError as error:
        raise SignatureInvalid("The signature is not Base64.") from error
    if b64encode(data).decode() != text:
        raise SignatureInvalid("The signature is not Base64 in its one canonical spelling.")
    return data
