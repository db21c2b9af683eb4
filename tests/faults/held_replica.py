"""A replica whose builds begin and never end: ``python -m tests.faults.held_replica PORT MODELS BEGUN [REDIS]``; the file BEGUN marks a build."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import uvicorn
from neumeta_core.configuration import Configuration
from neumeta_core.manifold import Manifold
from pydantic import SecretStr
from torch import Tensor

from tests.service.serving import tiny_app


class HeldManifold(Manifold):
    begun: Path

    def materialize(self, member: Configuration) -> dict[str, Tensor]:
        self.begun.touch()
        threading.Event().wait()
        return super().materialize(member)


def main(port: str, models: str, begun: str, redis_url: str | None = None) -> None:
    manifold = HeldManifold.load(Path(models) / "tiny" / "1" / "manifold.safetensors")
    manifold.begun = Path(begun)
    url = None if redis_url is None else SecretStr(redis_url)
    uvicorn.run(tiny_app(Path(models), manifold, redis_url=url), port=int(port), log_config=None)


if __name__ == "__main__":
    main(*sys.argv[1:])
