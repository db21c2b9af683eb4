"""A manifold file that changes under a running service: it goes on with what it read, and the next start refuses the file with a reason."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.service.serving import POST, live, tiny_app
from tests.tiny import save_tiny


def garbage(path: Path) -> None:
    path.write_bytes(os.urandom(path.stat().st_size))


def grown(path: Path) -> None:
    with path.open("ab") as file:
        file.write(bytes(1000))


def half_written(path: Path) -> None:
    """In place, as cp does, and broken off."""
    data = path.read_bytes()
    with path.open("r+b") as file:
        file.write(b"\xff" * (len(data) // 2))


def of_another_name(path: Path) -> None:
    shutil.copy(save_tiny(path.parents[2] / "elsewhere", name="other"), path)


CHANGES: dict[str, Callable[[Path], object]] = {
    "garbage": garbage,
    "half written": half_written,
    "emptied": lambda path: path.write_bytes(b""),
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "cut by a byte": lambda path: os.truncate(path, path.stat().st_size - 1),
    "grown": grown,
    "of another name": of_another_name,
    "not readable as a file": lambda path: (path.unlink(), path.mkdir()),
    "a link that leads nowhere": lambda path: (path.unlink(), path.symlink_to("nowhere")),
    "a link to itself": lambda path: (path.unlink(), path.symlink_to(path)),
    "deleted": lambda path: path.unlink(),
    "its folder deleted": lambda path: shutil.rmtree(path.parent),
}
SHORT = {"garbage", "a link to itself"}


@pytest.mark.parametrize("change", [pytest.param(CHANGES[name], id=name, marks=[] if name in SHORT else [pytest.mark.slow]) for name in CHANGES])
def test_changed_while_it_is_served(tmp_path: Path, change: Callable[[Path], object]) -> None:
    models = tmp_path / "models"
    save_tiny(models, name="healthy")
    path = save_tiny(models)
    with live(tiny_app(models, cache_bytes=0)) as base, httpx.Client(base_url=base, timeout=60) as client:
        before = client.post(POST, json={"compression": 0.5}).raise_for_status()
        truth = {number: client.post(POST, json={"widths": {"conv1": 5, "conv2": number}}).content for number in (3, 7, 12)}
        change(path)
        assert client.post(POST, json={"compression": 0.5}).content == before.content
        assert client.get(before.headers["content-location"]).content == before.content
        assert {number: client.post(POST, json={"widths": {"conv1": 5, "conv2": number}}).content for number in truth} == truth
        assert client.get("/readyz").status_code == 200
    with live(tiny_app(models)) as base, httpx.Client(base_url=base, timeout=60) as client:
        refused = client.post(POST, json={"compression": 0.5})
        assert (refused.status_code, refused.json()["code"]) in ((503, "model_refused"), (404, "model_not_found"))
        assert client.post("/v1/models/healthy/materialize", json={"compression": 0.5}).status_code == 200
        assert client.get("/readyz").status_code == 200
