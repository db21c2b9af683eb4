"""ResNets on CIFAR: every layer morphs, residual streams and inner widths alike, compression 0 to 0.75."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

from neumeta_core.inr import AnchoredSettings
from torch import nn

from neumeta_trainer.config import FitStage, NetworkStage, Optimization, Recipe, TuneStage
from neumeta_trainer.networks.resnet_cifar import resnet20

Tier = Literal["trial", "short", "long"]
TIERS: dict[Tier, int] = {"trial": 8, "short": 20, "long": 200}
"""Epochs of 50,000 images."""
_STEPS = 390
"""Batches of 128 in the 50,000 training images."""
HELD_OUT = ((0.28, 0.33), (0.42, 0.47), (0.66, 0.71), (0.80, 0.85), (0.92, 0.96))
CURVE = tuple(step / 16 for step in range(13))
"""Every width of a group of 16 channels; 1/16, 3/16, 5/16, 9/16 and 11/16 are held out."""


def resnet20_cifar10(tier: Tier = "short") -> Recipe:
    """ResNet-20 on CIFAR-10."""
    return _whole("resnet20-cifar10", "cifar10", partial(resnet20, 10), tier)


def resnet20_cifar100(tier: Tier = "short") -> Recipe:
    """ResNet-20 on CIFAR-100."""
    return _whole("resnet20-cifar100", "cifar100", partial(resnet20, 100), tier)


def _whole(name: str, data: str, network: Callable[[], nn.Module], tier: Tier) -> Recipe:
    """Seven eighths of the epochs train the family, the last eighth the INR end to end."""
    steps = TIERS[tier] * _STEPS
    tuned = steps // 8
    return Recipe(
        name=name,
        data=data,
        network=network,
        tier=tier,
        inr=AnchoredSettings(hidden=32, rank=4),
        held_out=HELD_OUT,
        validation=0.1,
        family=NetworkStage(
            optimization=Optimization(steps=steps - tuned, rate=0.1, optimizer="sgd", weight_decay=5e-4),
            shift=4,
            flip=True,
            members=1,
        ),
        curve=CURVE,
        fit=FitStage(optimization=Optimization(steps=1500, rate=3e-3), targets=96, calibration=2048),
        tune=TuneStage(
            optimization=Optimization(steps=tuned, rate=1e-3, clip=1.0, ema=0.995),
            shift=4,
            flip=True,
            members=1,
            task=0.3,
            distillation=0.7,
        ),
    )
