"""Ed25519 keys (RFC 8032): public ones as text, private ones as PKCS#8 PEM files (RFC 5958)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from pydantic import Field

from neumeta_core.errors import KeyRefused

PREFIX = "ed25519:"
PublicKey = Annotated[str, Field(pattern=rf"^{PREFIX}[0-9a-f]{{64}}$")]
"""A public key as text: ``ed25519:`` and its 32 bytes in hexadecimal. It is its own key id."""


def new_key() -> Ed25519PrivateKey:
    """A private key from the operating system's random numbers."""
    return Ed25519PrivateKey.generate()


def public_of(key: Ed25519PrivateKey) -> str:
    """The public key of a private one, as text."""
    return PREFIX + key.public_key().public_bytes_raw().hex()


def is_signed_by(public: str, signature: bytes, message: bytes) -> bool:
    """Whether the key ``public`` has made this signature (64 bytes) of this message."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public.removeprefix(PREFIX))).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def write_key(path: Path, key: Ed25519PrivateKey, passphrase: str | None = None) -> None:
    """Write a private key for its owner alone (mode 0600), encrypted when there is a passphrase; KeyRefused when the file exists."""
    encryption = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise KeyRefused(f"{path} exists, and a private key is never overwritten; choose another name.") from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink()  # Half a key would only be in the way of a whole one.
        raise


def is_encrypted(path: Path) -> bool:
    """Whether a private key's file needs a passphrase (RFC 7468 section 11); KeyRefused when it cannot be read."""
    return b"BEGIN ENCRYPTED PRIVATE KEY" in _bytes(path)


def read_key(path: Path, passphrase: str | None = None) -> Ed25519PrivateKey:
    """Read a private key; KeyRefused for anything but an Ed25519 key that this passphrase opens."""
    # A passphrase for a file that needs none is an error to the library; one may serve several files.
    secret = passphrase.encode() if passphrase and is_encrypted(path) else None
    try:
        key = load_pem_private_key(_bytes(path), secret)
    except TypeError:
        raise KeyRefused(f"{path} is encrypted; its passphrase is needed.") from None
    except (ValueError, UnsupportedAlgorithm):
        reason = "the passphrase does not open it" if secret else "it is no private key in PKCS#8 PEM"
        raise KeyRefused(f"{path} cannot be used: {reason}.") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyRefused(f"{path} holds a key of another kind; expected Ed25519.")
    return key


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise KeyRefused(f"{path} cannot be read: {error.strerror or error}.") from None
