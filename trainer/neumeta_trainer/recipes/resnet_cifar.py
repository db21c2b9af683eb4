"""ResNets on CIFAR: every layer morphs, residual streams and inner widths alike, compression 0 to 0.75."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Literal

from neumeta_core.inr import AnchoredSettings, FactorisedSettings, MlpSettings
from torch import nn

from neumeta_trainer.config import FitStage, NetworkStage, Optimization, Recipe, TuneStage
from neumeta_trainer.networks.resnet_cifar import resnet20

Tier = Literal["trial", "short", "medium", "long"]
TIERS: dict[Tier, int] = {"trial": 8, "short": 20, "medium": 60, "long": 200}
"""Epochs of 50,000 images."""
BATCHES = 390
"""Of 128 images, in an epoch."""
HELD_OUT = ((0.28, 0.33), (0.42, 0.47), (0.66, 0.71), (0.80, 0.85), (0.92, 0.96))
CURVE = tuple(step / 16 for step in range(13))
"""Every width of a group of 16 channels; 1/16, 3/16, 5/16, 9/16 and 11/16 are held out."""

LEVELS = (0.75, 0.5, 0.25)
"""Width ratios at which smaller members have weights of their own: all together they take as much room as the full network again."""

BEYOND = (0.125, 0.1875, 1.25, 1.5)
"""Ratios of full width that training never comes near."""


def resnet20_cifar10(tier: Tier = "short") -> Recipe:
    """ResNet-20 on CIFAR-10."""
    return _whole("resnet20-cifar10", "cifar10", partial(resnet20, 10), tier)


def resnet20_cifar100(tier: Tier = "short") -> Recipe:
    """ResNet-20 on CIFAR-100."""
    return _whole("resnet20-cifar100", "cifar100", partial(resnet20, 100), tier)


def resnet20_cifar10_mlp(tier: Tier = "short") -> Recipe:
    """The same family of ResNet-20 on CIFAR-10 under the paper's coordinate MLPs."""
    return _with_mlp(resnet20_cifar10(tier))


def resnet20_cifar100_mlp(tier: Tier = "short") -> Recipe:
    """The same family of ResNet-20 on CIFAR-100 under the paper's coordinate MLPs."""
    return _with_mlp(resnet20_cifar100(tier))


def resnet20_cifar10_factorised(tier: Tier = "short") -> Recipe:
    """The same family of ResNet-20 on CIFAR-10 under products of coordinate networks."""
    return _with_factorised(resnet20_cifar10(tier))


def resnet20_cifar100_factorised(tier: Tier = "short") -> Recipe:
    """The same family of ResNet-20 on CIFAR-100 under products of coordinate networks."""
    return _with_factorised(resnet20_cifar100(tier))


def _with_factorised(recipe: Recipe) -> Recipe:
    """With a warm start."""
    fit = FitStage(optimization=Optimization(steps=1500, rate=3e-3), targets=96, calibration=2048)
    tune = _with_all_members(recipe.tune, rate=3e-5)
    return dataclasses.replace(recipe, name=f"{recipe.name}-factorised", inr=FactorisedSettings(hidden=64, rank=64), fit=fit, tune=tune)


def _with_mlp(recipe: Recipe) -> Recipe:
    """With a long warm start, for these INRs start with none of the family's weights."""
    return dataclasses.replace(
        recipe,
        name=f"{recipe.name}-mlp",
        inr=MlpSettings(layers=4, hidden=96),
        fit=FitStage(optimization=Optimization(steps=2500, rate=2e-3, ema=0.99), targets=96, calibration=2048, members=2),
        tune=_with_all_members(recipe.tune, rate=3e-4),
    )


def _with_all_members(stage: TuneStage | None, rate: float) -> TuneStage:
    """For an INR that no member is exact in: the sandwich rule runs five a step with a single random one."""
    assert stage is not None
    return dataclasses.replace(stage, members=1, optimization=dataclasses.replace(stage.optimization, rate=rate))


def _whole(name: str, data: str, network: Callable[[], nn.Module], tier: Tier) -> Recipe:
    """Seven eighths of the epochs train the family, the last eighth the INR end to end.

    No warm start: with moments it starts closer to the family than reconstruction brings it. The full network and the levels are
    exact, so random members alone are left to learn.
    """
    steps = TIERS[tier] * BATCHES
    tuned = steps // 8
    return Recipe(
        name=name,
        study=name,
        data=data,
        network=network,
        tier=tier,
        inr=AnchoredSettings(hidden=16, rank=4, levels=LEVELS, moments=True, exact=True),
        held_out=HELD_OUT,
        validation=0.1,
        family=NetworkStage(
            optimization=Optimization(steps=steps - tuned, rate=0.1, optimizer="sgd", weight_decay=5e-4),
            shift=4,
            flip=True,
            members=1,
            levels=LEVELS,
            upward=0.3,
        ),
        curve=CURVE,
        beyond=BEYOND,
        unequal=20,
        fit=FitStage(optimization=Optimization(steps=0, rate=1e-3), targets=0, calibration=2048),
        tune=TuneStage(
            optimization=Optimization(steps=tuned, rate=3e-3, clip=1.0, ema=0.995),
            shift=4,
            flip=True,
            members=2,
            task=0.3,
            distillation=0.7,
        ),
    )
