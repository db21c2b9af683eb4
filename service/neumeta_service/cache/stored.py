"""What a shared cache keeps beside the bytes, as JSON: it comes back from outside the process, so nothing in it is believed."""

from __future__ import annotations

import hashlib
import hmac
import random
from dataclasses import dataclass, field

from neumeta_core.configuration import Configuration
from neumeta_core.spec import Spec
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from neumeta_service.cache.base import Entry, Origin

_HEX = "[0-9a-f]{64}"


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    key: str = Field(pattern=f"^{_HEX}$")
    seal: str | None = Field(default=None, pattern=f"^{_HEX}$")


class _Meta(_Stored):
    """Stands beside a blob. The key is repeated so that a reply that belongs to another request is noticed."""

    digest: str = Field(pattern=f"^sha256:{_HEX}$")
    size: int
    # It goes into a header, so nothing but plain characters.
    filename: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,199}$")


class _SpecFields(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    model: str
    version: int
    manifold: str
    widths: dict[str, int]
    precision: str
    opset: int


class _Source(_Stored):
    """What a digest was made from."""

    spec: _SpecFields


def lifetime_s(ttl_s: int) -> int:
    """A TTL give or take a tenth, so that what was stored together does not expire together."""
    return max(1, round(ttl_s * random.uniform(0.9, 1.1)))


@dataclass(frozen=True)
class Records:
    """Writes what stands beside the bytes, and reads it again.

    With a ``secret``, which all who share the tier have, what is written is sealed (HMAC-SHA256, RFC 2104), and what is not is no record:
    who can write to the tier can then take from it, and add nothing that anybody believes.
    """

    secret: bytes | None = field(default=None, repr=False)

    def meta(self, entry: Entry) -> str:
        """What stands beside the bytes of an entry."""
        return self._sealed(_Meta(key=entry.origin.key, digest=entry.digest, size=len(entry.data), filename=entry.filename))

    def origin(self, origin: Origin) -> str:
        """What is kept for a digest."""
        return self._sealed(_Source(key=origin.key, spec=_SpecFields.model_validate(origin.spec.as_dict())))

    def read_entry(self, origin: Origin, meta: bytes | str, blob: bytes) -> Entry | None:
        """The entry, or None when seal, key, size or digest are not those of these bytes. Hashes: 1 ms per MB."""
        try:
            facts = _Meta.model_validate_json(meta)
        except ValidationError:
            return None
        whole = facts.key == origin.key and facts.size == len(blob) and facts.digest == f"sha256:{hashlib.sha256(blob).hexdigest()}"
        return Entry(origin, facts.digest, facts.filename, blob) if whole and self._is_ours(facts) else None

    def read_origin(self, stored: bytes | str) -> Origin | None:
        """The origin that was kept for a digest, or None when that is none, or its seal is not ours."""
        try:
            source = _Source.model_validate_json(stored)
        except ValidationError:
            return None
        if not self._is_ours(source):
            return None
        fields = source.spec.model_dump()
        return Origin(source.key, Spec(**fields | {"widths": Configuration.of(source.spec.widths)}))

    def _sealed(self, record: _Stored) -> str:
        seal = None if self.secret is None else _seal(record, self.secret)
        return record.model_copy(update={"seal": seal}).model_dump_json(exclude_none=True)

    def _is_ours(self, record: _Stored) -> bool:
        return self.secret is None or hmac.compare_digest(record.seal or "", _seal(record, self.secret))


def _seal(record: _Stored, secret: bytes) -> str:
    plain = record.model_dump_json(exclude={"seal"})
    # With the kind of record, so that none passes for one of another kind.
    return hmac.digest(secret, f"{type(record).__name__}{plain}".encode(), "sha256").hex()
