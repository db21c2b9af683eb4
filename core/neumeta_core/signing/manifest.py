"""What a service signs about an artifact: its whole manifest, for a while."""

from __future__ import annotations

from typing import ClassVar

from pydantic import JsonValue

from neumeta_core.signing.payload import Kind, Payload, Seconds


class ManifestStatement(Payload):
    """The service has made an artifact that this manifest describes, and says so until ``expires``."""

    kind: ClassVar[Kind] = Kind.MANIFEST

    manifest: dict[str, JsonValue]
    """As in docs/http-api.md, with ``compression.requested`` null and without ``signature``."""
    issued: Seconds
    expires: Seconds
