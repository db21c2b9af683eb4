"""The trust root: the public keys that everything signed leads back to."""

from __future__ import annotations

import re
from pathlib import Path

from neumeta_core.errors import KeyRefused

Roots = frozenset[str]
"""Trusted public keys, as text."""
_KEY = re.compile("ed25519:[0-9a-f]{64}")


def read_roots(path: Path) -> Roots:
    """The keys of a file with one ``ed25519:…`` for each line; what follows ``#`` is passed over. KeyRefused when there are none or others."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise KeyRefused(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}.") from None
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    # Not shown: somebody may have given a private key.
    foreign = next((number for number, key in enumerate(lines, 1) if key and not _KEY.fullmatch(key)), None)
    if foreign or not any(lines):
        found = f"something else in line {foreign}" if foreign else "no key"
        raise KeyRefused(f"{path} has {found}; expected public keys, ed25519: and 64 hexadecimal digits, one for each line.")
    return frozenset(key for key in lines if key)
