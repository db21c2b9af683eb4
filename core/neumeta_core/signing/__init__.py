"""Signatures with Ed25519: keys, certificates, and what is signed with them (docs/signing.md).

Needs ``cryptography``, which the extras ``service`` and ``trainer`` bring; nothing else in the core imports this package.
"""
