"""A models folder with a signed manifold, and what an app needs to check and to sign; at a time that tests choose."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI
from neumeta_core.signing.bundle import Chain
from neumeta_core.signing.credentials import Credentials
from neumeta_core.signing.envelope import Envelope
from neumeta_core.signing.keys import public_of, write_key
from neumeta_core.signing.manifold import signature_path, state_manifold
from neumeta_service.app import create_app
from neumeta_service.settings import Settings

from tests.core.signing.authority import NOW, ONLINE, ROOT, certificate
from tests.tiny import save_tiny


@dataclass
class Clock:
    """Stands still until a test moves it."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now


@dataclass
class SignedFolder:
    """``models``, ``root.pub``, ``online.pem`` and ``online.cert`` in one folder, and the clock of its apps."""

    folder: Path
    clock: Clock

    def __post_init__(self) -> None:
        self.trust_root.write_text(f"{public_of(ROOT)}\n")
        self.install(ONLINE, certificate(ONLINE))

    @property
    def models(self) -> Path:
        return self.folder / "models"

    @property
    def trust_root(self) -> Path:
        return self.folder / "root.pub"

    def add(self, version: int = 1, *, by: Credentials | None = None, **arguments: Any) -> Path:
        """A manifold and its signature."""
        path = save_tiny(self.models, version=version, **arguments)
        statement = state_manifold(path.read_bytes(), "tiny", version, now=self.clock())
        signature_path(path).write_text((by or Credentials(ROOT)).sign(statement).json_text())
        return path

    def install(self, key: Ed25519PrivateKey, *certificates: Envelope) -> None:
        """Replace the online key and its certificate."""
        (self.folder / "online.pem").unlink(missing_ok=True)
        write_key(self.folder / "online.pem", key)
        (self.folder / "online.cert").write_text(Chain(certificates=certificates).json_text())

    def settings(self, **changes: Any) -> Settings:
        chosen = {
            "models": self.models,
            "device": "cpu",
            "trust_root": self.trust_root,
            "signing_key": self.folder / "online.pem",
            "signing_certificate": self.folder / "online.cert",
        }
        return Settings(**chosen | changes)

    def app(self, **changes: Any) -> FastAPI:
        return create_app(self.settings(**changes), clock=self.clock)
