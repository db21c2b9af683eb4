"""What a shared cache keeps beside the bytes, as JSON: it comes back from outside the process, so nothing in it is believed."""

from __future__ import annotations

import hashlib
import random

from neumeta_core.configuration import Configuration
from neumeta_core.spec import Spec
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from neumeta_service.cache.base import Entry, Origin

_HEX = "[0-9a-f]{64}"


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    key: str = Field(pattern=f"^{_HEX}$")


class Meta(_Stored):
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


def encode_meta(entry: Entry) -> str:
    """What stands beside the bytes of an entry."""
    return Meta(key=entry.origin.key, digest=entry.digest, size=len(entry.data), filename=entry.filename).model_dump_json()


def encode_origin(origin: Origin) -> str:
    """What is kept for a digest."""
    return _Source(key=origin.key, spec=_SpecFields.model_validate(origin.spec.as_dict())).model_dump_json()


def decode_origin(stored: bytes | str) -> Origin:
    """The origin that was kept for a digest. Raises pydantic's ValidationError when that is no origin."""
    source = _Source.model_validate_json(stored)
    fields = source.spec.model_dump()
    return Origin(source.key, Spec(**fields | {"widths": Configuration.of(source.spec.widths)}))


def verified(origin: Origin, meta: bytes | str, blob: bytes) -> Entry | None:
    """The entry, or None when key, size or digest are not those of these bytes. Hashes: 1 ms per MB."""
    try:
        facts = Meta.model_validate_json(meta)
    except ValidationError:
        return None
    whole = facts.key == origin.key and facts.size == len(blob) and facts.digest == f"sha256:{hashlib.sha256(blob).hexdigest()}"
    return Entry(origin, facts.digest, facts.filename, blob) if whole else None
