"""What tells whose checkpoint a file is: a digest of all that decides the result of a stage."""

from __future__ import annotations

import dataclasses
import hashlib

from torch import nn

from neumeta_trainer.config import Recipe
from neumeta_trainer.data import ImageSet, Splits
from neumeta_trainer.structure.morphing import on_cpu
from neumeta_trainer.structure.operations import operations

BASE_FIELDS = ("data", "base", "seed")
"""What the base network depends on."""
NETWORK_FIELDS = ("data", "order", "morph", "max_compression", "granularity", "held_out", "base", "family", "seed")
"""What the family depends on: recipes that differ in other fields can share its checkpoint."""
INR_FIELDS = (*NETWORK_FIELDS, "inr", "fit", "tune")
"""What the stages of the INR depend on."""


def fingerprint(recipe: Recipe, network: nn.Module, train: ImageSet, splits: Splits, fields: tuple[str, ...]) -> str:
    """Digest of all that decides a stage's result.

    That is: these fields of the recipe; the network's layers, the operations of its forward pass in eval mode, its weights and their
    names; the training images as they are prepared.
    """
    settings = dataclasses.asdict(recipe) | {"network": None}
    chosen = {name: settings[name] for name in fields} | {"prepared": (splits.scale, splits.mean, splits.std)}
    # On the CPU: a stage goes on with the same fingerprint on another device.
    computed = operations(on_cpu(network).eval(), splits.prepare(train.images[:2]).cpu().contiguous())
    weights = network.state_dict()
    digest = hashlib.sha256(repr((chosen, computed, list(weights))).encode())
    for tensor in (*weights.values(), train.images, train.labels):
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
