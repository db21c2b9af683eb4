"""A program: the service over one manifold, whose builds say that they began and wait until a file exists."""

from __future__ import annotations

import os
import time
from pathlib import Path

from neumeta_core.configuration import Configuration
from neumeta_core.manifold import Manifold
from neumeta_service.app import create_app
from neumeta_service.catalog.catalog import Catalog
from neumeta_service.http.server import Server
from neumeta_service.settings import load_settings
from neumeta_service.telemetry import log
from torch import Tensor

FOLDER = Path(os.environ["HELD"])


class HeldManifold(Manifold):
    def materialize(self, member: Configuration) -> dict[str, Tensor]:
        (FOLDER / "began").touch()
        while not (FOLDER / "gate").exists():
            time.sleep(0.01)
        return super().materialize(member)


if __name__ == "__main__":
    settings = load_settings()
    log.configure(settings.log_level)
    manifold = HeldManifold.load(f"{settings.models}/tiny/1/manifold.safetensors")
    Server(create_app(settings, catalog=Catalog([manifold])), settings).run()
