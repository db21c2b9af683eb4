"""Specs: what a client asks for, after everything was resolved to integers. One spec names one artifact."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from neumeta_core.blueprint import Blueprint
from neumeta_core.configuration import Configuration
from neumeta_core.precision import check_precision
from neumeta_core.template import OPSET

BUILDER_VERSION = "3"
"""Raised whenever the same spec would give other bytes."""


@dataclass(frozen=True)
class Spec:
    """A member of one manifold in one number format."""

    model: str
    version: int
    manifold: str
    """``sha256:…`` of the manifold file."""
    widths: Configuration
    precision: str
    opset: int = OPSET

    @classmethod
    def of(cls, blueprint: Blueprint, configuration: Configuration, precision: str) -> Spec:
        """The spec of a member; InvalidField for a precision that is not known."""
        check_precision(precision)
        return cls(blueprint.header.name, blueprint.header.version, blueprint.digest, configuration, precision)

    def as_dict(self) -> dict[str, object]:
        """The spec as JSON values."""
        return {
            "model": self.model,
            "version": self.version,
            "manifold": self.manifold,
            "widths": dict(self.widths),
            "precision": self.precision,
            "opset": self.opset,
        }

    def canonical(self) -> bytes:
        """The one JSON encoding of this spec: sorted keys, no spaces, UTF-8."""
        return json.dumps(self.as_dict(), sort_keys=True, separators=(",", ":")).encode()

    @property
    def digest(self) -> str:
        """``sha256:…`` of the canonical form."""
        return f"sha256:{hashlib.sha256(self.canonical()).hexdigest()}"

    def cache_key(self, fingerprint: str) -> str:
        """Hexadecimal key for caches: the spec, the builder and how numbers are computed (``Manifold.fingerprint``).

        Replicas that compute differently never share an entry, and a new builder never finds old bytes.
        """
        return hashlib.sha256(b"\0".join([self.canonical(), BUILDER_VERSION.encode(), fingerprint.encode()])).hexdigest()
