"""Random numbers that depend on what they are for and on the step, never on what ran before."""

from __future__ import annotations

import hashlib

import torch


def generator_for(purpose: str, *numbers: int) -> torch.Generator:
    """A CPU generator seeded by a purpose and numbers such as seed and step.

    Every random choice of training comes from one of these, so a run that is resumed at any step is the same run.
    """
    digest = hashlib.sha256(f"{purpose}:{':'.join(map(str, numbers))}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))
