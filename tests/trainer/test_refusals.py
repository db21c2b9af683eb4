"""What a run refuses, before anything is trained."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from neumeta_core.errors import ManifoldRefused, NetworkUnsupported
from neumeta_core.inr import AnchoredSettings
from neumeta_trainer.checks import refuse_impossible
from neumeta_trainer.compute import Compute
from neumeta_trainer.config import Optimization
from neumeta_trainer.data import ImageSet, Splits, load_digits
from neumeta_trainer.errors import RecipeRefused
from neumeta_trainer.networks.small import SmallNet
from neumeta_trainer.pipeline import planned, run
from neumeta_trainer.processes import Processes
from neumeta_trainer.recipes import RECIPES
from neumeta_trainer.recipes.digits import digits, digits_paper
from neumeta_trainer.training.progress import LogProgress
from torch import nn


@pytest.fixture(scope="module")
def splits() -> Splits:
    return load_digits()


def test_a_level_that_is_held_out_is_refused(splits, tmp_path):
    family = dataclasses.replace(digits().family, levels=(0.5,))
    recipe = dataclasses.replace(digits(), family=family, held_out=((0.45, 0.55),))
    with pytest.raises(RecipeRefused, match=r"held_out: conv1 is trained at 8 of 16 channels in every step; leave that ratio out\."):
        run(recipe, splits, tmp_path, LogProgress(), final=True)
    assert not list(tmp_path.iterdir())


class Deciding(SmallNet):
    """Decides by the values of a tensor."""

    def forward(self, x):
        return super().forward(x if x.mean() > 0 else -x)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"morph": ("conv7",)}, r"no channel group 'conv7'"),
        ({"held_out": ((0.9, 1.0),)}, r"held_out: conv1 is trained at 16 of 16"),
        ({"fit": dataclasses.replace(digits_paper().fit, target_calibration=256)}, r"fit\.target_calibration: only row scales take it"),
        (
            {"inr": AnchoredSettings(moments=True, scales=4), "fit": dataclasses.replace(digits_paper().fit, targets=0)},
            r"fit\.targets: row scales learn from random members",
        ),
        ({"beyond": (0.75,)}, r"beyond: 0\.75 lies in the trained range; expected a width ratio above 1 or below 0\.\d+"),
        ({"beyond": (1.5, 0.3), "max_compression": 0.7, "curve": (0.0,)}, r"beyond: 0\.3 lies in .* below 0\.3\."),
        ({"max_compression": 0.4}, r"curve: compression: 0\.\d+ is not allowed"),
        ({"inr": AnchoredSettings(levels=(0.8,)), "held_out": ((0.79, 0.82),)}, r"held_out: \w+ is trained at \d+ of \d+"),
        ({"name": "My Net"}, r"name: String should match pattern"),
        ({"base": dataclasses.replace(digits().family, batch=32.0)}, r"base\.batch=32\.0: Input should be a valid integer"),
        ({"base": dataclasses.replace(digits().family, optimization=Optimization(steps=1e3, rate=0.1))}, r"steps=1000\.0: .*valid integer"),
        ({"base": dataclasses.replace(digits().family, optimization=Optimization(steps=9, rate="0.1"))}, r"rate='0\.1': .*valid number"),
        ({"curve": ()}, r"curve=\(\): Tuple should have at least 1 item"),
        ({"curve": (0.0, 0.5, 0.5)}, r"curve=.*: 0\.5 is there more than once"),
        ({"validation": 1e-4}, r"validation: 0\.0001 of 1437 images is 0; expected a share that leaves some on both sides"),
        ({"fit": dataclasses.replace(digits_paper().fit, calibration=0)}, r"fit\.calibration=0: Input should be greater than or equal to 1"),
        (
            {"inr": AnchoredSettings(exact=True, levels=(0.5,)), "tune": dataclasses.replace(digits_paper().tune, sandwich=True, members=0)},
            r"tune\.members: no member is left to train",
        ),
    ],
)
def test_what_is_refused_is_refused_before_the_base_is_trained(splits, tmp_path, wrong, said):
    with pytest.raises(RecipeRefused, match=said):
        run(dataclasses.replace(digits_paper(), **wrong), splits, tmp_path, LogProgress())
    assert not list(tmp_path.rglob("base.pt"))


@pytest.mark.parametrize("stage", ["family", "tune"])
def test_a_batch_that_the_processes_cannot_share_is_refused_before_anything_is_trained(splits, stage):
    recipe = dataclasses.replace(digits(), **{stage: dataclasses.replace(getattr(digits(), stage), batch=63)})
    with pytest.raises(RecipeRefused, match=rf"{stage}\.batch: 63 images cannot be divided among 2 processes"):
        planned(recipe, splits, compute=Compute(processes=Processes(0, 2)))


class Spare(SmallNet):
    """Has a layer that it does not use."""

    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Linear(4, 4)


def test_a_parameter_that_is_not_used_is_refused_where_processes_would_wait_for_its_gradient(splits):
    recipe, together = dataclasses.replace(digits(), network=Spare), Compute(processes=Processes(0, 2))
    with pytest.raises(RecipeRefused, match=r"network: its output does not depend on spare\.weight, spare\.bias; remove that, or"):
        planned(recipe, splits, compute=together)
    assert planned(recipe, splits).found.architecture.groups
    assert planned(digits(), splits, compute=together)
    assert planned(dataclasses.replace(recipe, family=None), splits, compute=together)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_no_recipe_of_ours_has_an_impossible_value(recipe):
    refuse_impossible(recipe())


def test_a_network_that_cannot_be_exported_is_refused_before_the_base_is_trained(splits, tmp_path):
    with pytest.raises(NetworkUnsupported, match=r"Deciding has BatchNorm, and torch\.fx cannot trace it"):
        run(dataclasses.replace(digits_paper(), network=Deciding), splits, tmp_path, LogProgress())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(288, 10)), r"on a batch \[2, 1, 8, 8\] of torch\.float32: .*3 channels"),
        (lambda: SmallNet().bfloat16(), r"SmallNet does not run in eval mode on a batch \[2, 1, 8, 8\] of torch\.float32: "),
        (SmallNet(), r"network: it is a network; expected a function that makes one"),
        (lambda: SmallNet().requires_grad_(False), r"network: no parameter of it requires a gradient; expected base=None and family=None"),
    ],
    ids=["colours", "bf16", "no function", "frozen"],
)
def test_a_network_that_cannot_be_trained_on_the_data_is_refused_in_words(splits, tmp_path, network, said):
    with pytest.raises((NetworkUnsupported, RecipeRefused), match=said):
        run(dataclasses.replace(digits(), network=network), splits, tmp_path, LogProgress())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_part_of_the_data_without_images_is_refused_before_anything_is_trained(splits, tmp_path, part):
    data = dataclasses.replace(splits, **{part: splits.train.take(torch.arange(0))})
    with pytest.raises(RecipeRefused, match=f"digits has no {part}(ing)? images"):
        run(digits(), data, tmp_path, LogProgress(), final=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("names", "classes", "last", "said"),
    [
        (10, 12, 9, "network: it gives 12 numbers for an image, and digits has the names of 10 classes; expected as many"),
        (5, 5, 9, "labels: those of digits go from 0 to 9; expected 0 to 4, for it names 5 classes"),
        (10, 10, -1, "labels: those of digits go from -1 to 8; expected 0 to 9"),
    ],
)
def test_classes_that_network_names_and_labels_do_not_agree_on_are_refused(splits, tmp_path, names, classes, last, said):
    labels = torch.where(splits.train.labels == 9, last, splits.train.labels)
    data = dataclasses.replace(splits, labels=tuple(map(str, range(names))), train=ImageSet(splits.train.images, labels))
    with pytest.raises(RecipeRefused, match=said):
        run(dataclasses.replace(digits(), network=lambda: SmallNet(classes=classes)), data, tmp_path, LogProgress())
    assert list(tmp_path.iterdir()) == []


def test_images_of_another_type_than_a_file_holds_are_refused_before_the_base_is_trained(splits, tmp_path):
    test = dataclasses.replace(splits.test, images=splits.test.images.double())
    with pytest.raises(ManifoldRefused, match="canary"):
        run(digits_paper(), dataclasses.replace(splits, test=test), tmp_path, LogProgress(), final=True)
    assert list(tmp_path.iterdir()) == []
