"""What the tests of the Python client share: how pulls are broken off, and what has to be there afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from neumeta_client import Artifact, Retries
from neumeta_core.assembly import assemble
from neumeta_core.manifold import Manifold

from tests.faults.proxy import Fault

Pull = Callable[..., Artifact]
HALF = 3000
"""Bytes of the full tiny network, less than all."""
AT_ONCE = Retries(first_delay_s=0)
DRIBBLE = Fault(piece_bytes=200, delay_s=0.02)


def bytes_of(manifold: Manifold) -> bytes:
    """Of its full network."""
    member = manifold.configure(0.0)
    return assemble(manifold, member, manifold.materialize(member)).data


def files(cache: Path) -> list[str]:
    """What kind of files there are."""
    return sorted(path.suffix for path in cache.rglob("*") if path.is_file())


def once(condition: Callable[[int], bool], action: Callable[[], object]) -> Callable[[int, int], None]:
    """A ``progress`` that acts when so many bytes are there for the first time; 0 are there between the manifest and the download."""
    waiting = [action]

    def progress(received: int, _: int) -> None:
        if waiting and condition(received):
            waiting.pop()()

    return progress


def body(**fault: Any) -> Fault:
    """A fault of what comes after the head."""
    return Fault(beyond=b"\r\n\r\n", **fault)


def sample(app: FastAPI, name: str, **labels: str) -> float:
    """One of the service's own metrics."""
    return app.state.engine.metrics.registry.get_sample_value(f"neumeta_{name}", labels) or 0
