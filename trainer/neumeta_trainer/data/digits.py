"""scikit-learn's bundled digits: real, small, and there without a network."""

from __future__ import annotations

from pathlib import Path

import torch

from neumeta_trainer.data.images import ImageSet, Splits
from neumeta_trainer.randomness import generator_for

_TEST = 360


def load_digits(folder: Path | None = None) -> Splits:  # noqa: ARG001  (every loader takes the data folder)
    """1,437 training and 360 test digits ``[1, 8, 8]`` with values 0 to 16, in a fixed shuffle."""
    from sklearn.datasets import load_digits as bundled

    raw, target = bundled(return_X_y=True)
    order = torch.randperm(len(target), generator=generator_for("digits"))
    everything = ImageSet(torch.from_numpy(raw).to(torch.uint8).view(-1, 1, 8, 8), torch.from_numpy(target).long()).take(order)
    rows = torch.arange(len(target))
    return Splits(
        name="digits",
        labels=tuple("0123456789"),
        train=everything.take(rows[_TEST:]),
        test=everything.take(rows[:_TEST]),
        scale=1 / 16,
        mean=(0.3053,),
        std=(0.3761,),
    )
