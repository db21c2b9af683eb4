"""Recipes: functions that return what a run is. Variants call one and change a few fields."""

from __future__ import annotations

from collections.abc import Callable

from neumeta_trainer.config import Recipe
from neumeta_trainer.recipes.digits import digits, digits_mlp, digits_paper
from neumeta_trainer.recipes.lenet_mnist import lenet_mnist, lenet_mnist_mlp
from neumeta_trainer.recipes.resnet_block import resnet20_cifar10_block, resnet20_cifar10_block_paper
from neumeta_trainer.recipes.resnet_cifar import (
    TIERS,
    resnet20_cifar10,
    resnet20_cifar10_factorised,
    resnet20_cifar10_mlp,
    resnet20_cifar100,
    resnet20_cifar100_factorised,
    resnet20_cifar100_mlp,
)

__all__ = ["RECIPES", "TIERS"]

RECIPES: dict[str, Callable[..., Recipe]] = {
    "digits": digits,
    "digits-mlp": digits_mlp,
    "digits-paper": digits_paper,
    "lenet-mnist": lenet_mnist,
    "lenet-mnist-mlp": lenet_mnist_mlp,
    "resnet20-cifar10": resnet20_cifar10,
    "resnet20-cifar10-mlp": resnet20_cifar10_mlp,
    "resnet20-cifar10-factorised": resnet20_cifar10_factorised,
    "resnet20-cifar100": resnet20_cifar100,
    "resnet20-cifar100-factorised": resnet20_cifar100_factorised,
    "resnet20-cifar100-mlp": resnet20_cifar100_mlp,
    "resnet20-cifar10-block": resnet20_cifar10_block,
    "resnet20-cifar10-block-paper": resnet20_cifar10_block_paper,
}
"""Recipe name, as ``neumeta train`` takes it -> function; some take a ``tier``."""
