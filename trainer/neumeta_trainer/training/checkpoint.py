"""State of an interrupted stage, written whole or not at all."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from neumeta_core.files import whole

from neumeta_trainer.errors import CheckpointRefused


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a state of tensors, numbers and containers; an older file is replaced at once."""
    with whole(path) as part:
        torch.save(state, part)


def load_checkpoint(path: Path, fingerprint: str, advice: str) -> dict[str, Any] | None:
    """The state, or None when there is none.

    Raises CheckpointRefused when the file is damaged, or was written by a run of another network, with other settings or data: then with ``advice``.
    """
    state = _read(path) if path.exists() else None
    if state is not None and state.get("fingerprint") != fingerprint:
        raise CheckpointRefused(f"This run has another network, other settings or data than the one that wrote {path}. {advice}")
    return state


def steps_done(path: Path) -> int:
    """How many steps the stage with this checkpoint has trained. Raises CheckpointRefused when the file is damaged."""
    return int(_read(path)["step"])


def _read(path: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
        raise CheckpointRefused(f"{path} is damaged ({error}). Delete it to train this stage again.") from None
    return state
