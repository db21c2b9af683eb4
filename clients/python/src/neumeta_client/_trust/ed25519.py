"""Ed25519 (RFC 8032), which an optional package brings."""

from __future__ import annotations

from neumeta_client._errors import MissingExtra


def require_ed25519() -> None:
    """Raises MissingExtra when signatures cannot be verified here."""
    try:
        import cryptography.hazmat.primitives.asymmetric.ed25519  # noqa: F401
    except ImportError as error:
        raise MissingExtra("cryptography is not installed; a trust root needs it: pip install 'neumeta-client[verify]'.") from error


def is_signed_by(public: str, signature: bytes, message: bytes) -> bool:
    """Whether the key ``public`` (``ed25519:`` and hexadecimal) has made this signature of this message."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public.partition(":")[2])).verify(signature, message)
    except InvalidSignature:
        return False
    return True
