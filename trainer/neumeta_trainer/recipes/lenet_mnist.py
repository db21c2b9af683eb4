"""LeNet on MNIST: every layer morphs, compression 0 to 0.75."""

from __future__ import annotations

import dataclasses

from neumeta_core.inr import AnchoredSettings, MlpSettings

from neumeta_trainer.config import FitStage, NetworkStage, Optimization, Recipe, TuneStage
from neumeta_trainer.networks.lenet import LeNet

_EPOCH = 468
"""Steps of 128 images through the 60,000 training digits."""


def lenet_mnist() -> Recipe:
    """The manifold that ships: kind ``anchored``, four intervals of width ratios never trained."""
    return Recipe(
        name="lenet-mnist",
        data="mnist",
        network=LeNet,
        inr=AnchoredSettings(hidden=32, rank=4),
        held_out=((0.28, 0.33), (0.42, 0.47), (0.66, 0.71), (0.80, 0.85)),
        family=NetworkStage(
            optimization=Optimization(steps=6 * _EPOCH, rate=0.1, optimizer="sgd", weight_decay=5e-4),
            shift=1,
            members=2,
        ),
        # 0.18 beside the default points: the only one whose widths all lie in the interval 0.80 to 0.85.
        curve=tuple(sorted((*(round(0.05 * step, 2) for step in range(16)), 0.18))),
        fit=FitStage(optimization=Optimization(steps=1500, rate=3e-3), targets=128),
        tune=TuneStage(
            optimization=Optimization(steps=702, rate=1e-3, clip=1.0, ema=0.995),
            shift=1,
            members=2,
            task=0.3,
            distillation=0.7,
        ),
    )


def lenet_mnist_mlp() -> Recipe:
    """The same with the paper's pure coordinate MLPs, for comparison."""
    recipe = lenet_mnist()
    assert recipe.tune is not None
    return dataclasses.replace(
        recipe,
        name="lenet-mnist-mlp",
        inr=MlpSettings(layers=4, hidden=128),
        fit=dataclasses.replace(recipe.fit, optimization=Optimization(steps=2000, rate=2e-3, ema=0.99), members=3),
        tune=dataclasses.replace(recipe.tune, optimization=Optimization(steps=702, rate=3e-4, clip=1.0, ema=0.995)),
    )
