"""A small network on scikit-learn's bundled digits: seconds, and no download."""

from __future__ import annotations

import dataclasses

from neumeta_core.inr import AnchoredSettings, MlpSettings, Sampling

from neumeta_trainer.config import FitStage, NetworkStage, Optimization, Recipe, TuneStage
from neumeta_trainer.networks.small import SmallNet


def digits() -> Recipe:
    """Kind ``anchored``."""
    return Recipe(
        name="digits",
        data="digits",
        network=SmallNet,
        inr=AnchoredSettings(hidden=16, rank=2),
        family=NetworkStage(optimization=Optimization(steps=300, rate=0.05, optimizer="sgd", weight_decay=5e-4), batch=64, members=2),
        fit=FitStage(optimization=Optimization(steps=300, rate=5e-3), targets=32, calibration=512),
        tune=TuneStage(optimization=Optimization(steps=60, rate=1e-3, clip=1.0, ema=0.98), batch=64, task=0.3, distillation=0.7),
    )


def digits_mlp() -> Recipe:
    """Kind ``mlp``."""
    recipe = digits()
    return dataclasses.replace(
        recipe,
        name="digits-mlp",
        inr=MlpSettings(layers=3, hidden=64),
        fit=dataclasses.replace(recipe.fit, optimization=Optimization(steps=600, rate=3e-3)),
    )


def digits_paper() -> Recipe:
    """The paper's recipe for the whole network: no family, smooth order, relative positions, noise on coordinates, K samples.

    What stays ours is the warm start on the full network, without which generated weights stay near zero.
    """
    recipe = digits()
    assert recipe.family is not None
    return dataclasses.replace(
        recipe,
        name="digits-paper",
        order="smooth",
        max_compression=0.5,
        base=dataclasses.replace(recipe.family, optimization=dataclasses.replace(recipe.family.optimization, steps=150), members=0),
        family=None,
        inr=MlpSettings(layers=3, hidden=64, positions="relative"),
        sampling=Sampling(count=8, noise=0.5),
        fit=dataclasses.replace(recipe.fit, optimization=Optimization(steps=300, rate=3e-3), targets=0),
        tune=TuneStage(
            optimization=Optimization(steps=400, rate=1e-3, clip=1.0, ema=0.98),
            batch=64,
            members=1,
            sandwich=False,
            reconstruction=1.0,
            regularization=1e-4,
            noise=0.5,
        ),
        curve=(0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
    )
