"""The paper's protocol: one block of a pretrained ResNet-20 morphs (the inner width of ``layer3.2``), all else stays as trained.

Trained on widths 32 to 64; 16 is measured as never seen.
"""

from __future__ import annotations

import dataclasses

from neumeta_core.inr import AnchoredSettings, MlpSettings, Sampling

from neumeta_trainer.config import FitStage, NetworkStage, Optimization, Recipe, TuneStage
from neumeta_trainer.recipes.resnet_cifar import BATCHES, TIERS, Tier, resnet20_cifar10


def resnet20_cifar10_block_paper(tier: Tier = "short") -> Recipe:
    """The paper's recipe: smooth order, relative positions, noise on coordinates, one width a step, K = 100 samples.

    Reconstruction and regularization are weighted 1 and 1e-4. What is ours is the warm start on the full block
    (``fit.optimization.steps=0`` leaves it out) and the smooth order's exact cut.
    """
    steps = TIERS[tier] * BATCHES
    return Recipe(
        name="resnet20-cifar10-block-paper",
        study="resnet20-cifar10-block",
        data="cifar10",
        network=resnet20_cifar10(tier).network,
        tier=tier,
        morph=("layer3.2.conv1",),
        max_compression=0.5,
        validation=0.1,
        order="smooth",
        base=NetworkStage(optimization=Optimization(steps=steps, rate=0.1, optimizer="sgd", weight_decay=5e-4), shift=4, flip=True),
        inr=MlpSettings(layers=5, hidden=256, positions="relative"),
        sampling=Sampling(count=100, noise=0.5),
        fit=FitStage(optimization=Optimization(steps=500, rate=1e-3), members=1, targets=0, calibration=2048),
        tune=TuneStage(
            optimization=Optimization(steps=steps, rate=1e-3, weight_decay=1e-2, clip=10.0, ema=0.995),
            shift=4,
            flip=True,
            members=1,
            sandwich=False,
            reconstruction=1.0,
            regularization=1e-4,
            noise=0.5,
        ),
        curve=(0.0, 0.125, 0.25, 0.375, 0.5),
        beyond=(0.25, 1.25, 1.5),
    )


def resnet20_cifar10_block(tier: Tier = "short") -> Recipe:
    """Ours on the same base: kind ``anchored`` in order of importance, the sandwich rule, distillation from the base."""
    recipe = resnet20_cifar10_block_paper(tier)
    assert recipe.tune is not None
    return dataclasses.replace(
        recipe,
        name="resnet20-cifar10-block",
        order="importance",
        inr=AnchoredSettings(hidden=32, rank=4),
        sampling=Sampling(),
        fit=dataclasses.replace(recipe.fit, optimization=Optimization(steps=500, rate=3e-3), members=4, targets=32),
        tune=dataclasses.replace(
            recipe.tune,
            optimization=dataclasses.replace(recipe.tune.optimization, weight_decay=0.0, clip=1.0),
            sandwich=True,
            task=0.3,
            distillation=0.7,
            reconstruction=0.0,
            regularization=0.0,
            noise=0.0,
        ),
    )
