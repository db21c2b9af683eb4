"""A file as it was verified, for those who would open it by its name later, when it may be another."""

from __future__ import annotations

import hashlib
from pathlib import Path

from neumeta_client._errors import IntegrityError
from neumeta_client._local.part import disk_errors


def read_verified(path: Path, digest: str) -> bytes:
    """The bytes of a file. Raises IntegrityError when they are not those of ``digest``, CacheError when it is gone or cannot be read."""
    with disk_errors(path):
        data = path.read_bytes()
    found = f"sha256:{hashlib.sha256(data).hexdigest()}"
    if found != digest:
        raise IntegrityError(f"{path} was changed: it has the digest {found}; expected {digest}.")
    return data
