"""What can be signed: each kind is a JSON object with a payload type of its own, so that none can be taken for another."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[int, Field(ge=0, lt=2**53)]
"""A moment: seconds since 1970-01-01T00:00:00Z."""
LEEWAY_S = 300
"""How far the clock of the one who verifies may be behind that of the one who signed."""


class Kind(StrEnum):
    """Kinds of payloads; a certificate names the one that its key may sign."""

    CERTIFICATE = "certificate"
    MANIFOLD = "manifold"
    MANIFEST = "manifest"

    @property
    def payload_type(self) -> str:
        """The ``payloadType`` of an envelope around it."""
        return f"application/vnd.neumeta.{self.value}.v1+json"


class Payload(BaseModel):
    """Base of all payloads. Fields that are not known are passed over: who signed them is trusted."""

    model_config = ConfigDict(frozen=True, strict=True)
    kind: ClassVar[Kind]
