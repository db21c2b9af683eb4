"""Data sets in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from neumeta_trainer.data.cifar import load_cifar10, load_cifar100
from neumeta_trainer.data.digits import load_digits
from neumeta_trainer.data.images import Batches, ImageSet, Splits
from neumeta_trainer.data.mnist import load_mnist

__all__ = ["LOADERS", "Batches", "ImageSet", "Splits", "load_cifar10", "load_cifar100", "load_digits", "load_mnist"]

LOADERS: dict[str, Callable[[Path | None], Splits]] = {
    "cifar10": load_cifar10,
    "cifar100": load_cifar100,
    "digits": load_digits,
    "mnist": load_mnist,
}
"""Data set name -> loader of its splits from a data folder."""
