"""API keys: random tokens ``nm_<id>_<secret>`` with 256 bits of secret, and the JSON file that holds their hashes.

A fast hash is enough: 256 random bits cannot be guessed, as a password can.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import os
import re
import secrets
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from neumeta_core.validation import first_fault
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from neumeta_service.access.caller import Caller, Scope
from neumeta_service.rate import parse_rate
from neumeta_service.settings import SettingsError

if sys.platform != "win32":
    import fcntl

_TOKEN = re.compile("nm_([0-9a-f]{8})_[0-9a-f]{64}")
_NO_DIGEST = bytes(32)


def _checked_rate(rate: str) -> str:
    parse_rate(rate)
    return rate


class Key(BaseModel):
    """One key as the file holds it; the token itself is nowhere."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern="^[0-9a-f]{8}$")
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    scopes: tuple[Scope, ...] = Field(min_length=1)
    expires: AwareDatetime | None = None
    rate: Annotated[str, AfterValidator(_checked_rate)] | None = None


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    keys: tuple[Key, ...]


class KeyRing:
    """Keys, ready to be compared with."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self._entries = {key.id: (bytes.fromhex(key.sha256), _caller(key)) for key in keys}

    def find(self, token: str) -> Caller | None:
        """The caller that a token stands for, expired or not. A wrong secret takes as long as a right one."""
        match = _TOKEN.fullmatch(token)
        if match is None:
            return None
        digest, caller = self._entries.get(match[1], (_NO_DIGEST, None))
        return caller if hmac.compare_digest(hashlib.sha256(token.encode()).digest(), digest) else None


def read_key_ring(path: Path) -> KeyRing:
    """The keys of a file. Raises SettingsError."""
    return KeyRing(read_keys(path))


def read_keys(path: Path) -> tuple[Key, ...]:
    """The keys of a file, as they stand in it. Raises SettingsError, which never says what the file holds."""
    hint = "`neumeta-service api-keys new` makes one"
    try:
        keys = _Document.model_validate_json(path.read_bytes()).keys
    except OSError as error:
        raise SettingsError(f"The file of API keys {path} cannot be read: {error.strerror}; {hint}.") from None
    except ValidationError as error:
        raise SettingsError(f"The file of API keys {path} is not valid: {first_fault(error).removesuffix('.')}; {hint}.") from None
    if len({key.id for key in keys}) < len(keys):
        raise SettingsError(f"The file of API keys {path} is not valid: two keys have the same id.")
    return keys


@contextmanager
def changing(path: Path) -> Iterator[None]:
    """Others who would change the file wait, where the system has such locks: written from what was read before, a revoked key would live again.

    The lock is the folder's, for the file itself is replaced. Raises OSError.
    """
    if sys.platform == "win32":
        yield
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def write_keys(path: Path, keys: Sequence[Key]) -> None:
    """Replace the file at once, readable by its owner alone; a file that is there keeps its owner. Raises OSError."""
    text = _Document(keys=tuple(keys)).model_dump_json(indent=2, exclude_none=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # Made with mode 0600.
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{text}\n")
            file.flush()
            os.fsync(descriptor)
            if os.name == "posix" and path.exists():
                owner = path.stat()
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def new_token() -> tuple[str, str, str]:
    """A token that nobody had before, its id and the SHA-256 of the token in hexadecimal."""
    identity = secrets.token_hex(4)
    token = f"nm_{identity}_{secrets.token_hex(32)}"
    return token, identity, hashlib.sha256(token.encode()).hexdigest()


def _caller(key: Key) -> Caller:
    return Caller(
        f"key:{key.id}",
        frozenset(key.scopes),
        math.inf if key.expires is None else key.expires.timestamp(),
        None if key.rate is None else parse_rate(key.rate),
    )
