"""Which images each stage of a recipe sees."""

from __future__ import annotations

from torch import Tensor

from neumeta_trainer.compute import Compute
from neumeta_trainer.config import NetworkStage, Recipe, TuneStage
from neumeta_trainer.data.images import Batches, ImageSet, Splits
from neumeta_trainer.errors import RecipeRefused

_CALIBRATION_BATCH = 256


def divided(recipe: Recipe, splits: Splits, *, final: bool) -> tuple[ImageSet, ImageSet, str]:
    """``(images to train on, images to measure on, name of the latter's split)``; RecipeRefused when one of these has no image."""
    if final:
        for name, part in (("training", splits.train), ("test", splits.test)):
            if not len(part):
                raise RecipeRefused(f"{splits.name} has no {name} images.")
        return splits.train, splits.test, "test"
    images = len(splits.train)
    count = round(recipe.validation * images)
    if not 0 < count < images:
        raise RecipeRefused(f"validation: {recipe.validation:g} of {images} images is {count}; expected a share that leaves some on both sides.")
    return *splits.validation(count), "validation"


def batches_for(stage: NetworkStage | TuneStage, train: ImageSet, splits: Splits, seed: int, compute: Compute) -> Batches:
    """The batches of a stage, with its augmentation."""
    return Batches(train, splits, stage.batch, seed=seed, shift=stage.shift, flip=stage.flip, processes=compute.processes)


def calibration_batches(recipe: Recipe, train: ImageSet, splits: Splits) -> list[tuple[Tensor, Tensor]]:
    """Inputs for the normalization statistics of a member, with their labels: ``fit.calibration`` images in batches of one size.

    They are augmented as the network's training was: statistics of plain images cost a CIFAR ResNet-20 1.7 points.
    """
    trained = recipe.family or recipe.base
    shift, flip = (trained.shift, trained.flip) if trained else (0, False)
    # Every process measures all of them: those that train together must hold the same statistics.
    batches = Batches(train, splits, min(_CALIBRATION_BATCH, recipe.fit.calibration), seed=recipe.seed + 2, shift=shift, flip=flip)
    return [batches.at(step) for step in range(max(1, recipe.fit.calibration // batches.size))]
