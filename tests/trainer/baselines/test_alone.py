"""Networks trained alone: as long as the manifold in steps or in multiply-adds, from labels or from a teacher."""

import dataclasses

import pytest
import torch
from neumeta_core.configuration import uniform
from neumeta_core.errors import InvalidField
from neumeta_core.inr import AnchoredSettings
from neumeta_trainer.baselines.alone import reset, train_alone, trained_alone
from neumeta_trainer.config import Recipe
from neumeta_trainer.data import Splits, load_digits
from neumeta_trainer.errors import CheckpointRefused, RecipeRefused
from neumeta_trainer.networks.resnet_cifar import resnet20
from neumeta_trainer.recipes.digits import digits
from neumeta_trainer.structure.channel_groups import find_architecture
from neumeta_trainer.structure.fusion import fuse_batch_norm
from neumeta_trainer.structure.morphing import find_groups
from neumeta_trainer.structure.resize import resized
from neumeta_trainer.training.effort import matching_macs
from neumeta_trainer.training.progress import LogProgress
from neumeta_trainer.training.sampler import Sampler
from torch import nn


def short() -> Recipe:
    recipe = digits()
    assert recipe.family is not None
    family = dataclasses.replace(recipe.family, optimization=dataclasses.replace(recipe.family.optimization, steps=40))
    # Few steps do not pay for many targets: an equal number of multiply-adds would be thousands of steps of a small network.
    return dataclasses.replace(recipe, family=family, fit=dataclasses.replace(recipe.fit, targets=0), tune=None)


@pytest.fixture(scope="module")
def splits() -> Splits:
    return load_digits()


def test_a_size_that_no_member_has_is_refused_before_any_network_is_trained(splits, tmp_path):
    with pytest.raises(InvalidField, match=r"compression: 0\.9 is not allowed; expected a number from 0 to 0\.75"):
        train_alone(short(), [0.0, 0.9], splits, tmp_path, LogProgress(), command="", distilled=True)
    with pytest.raises(RecipeRefused, match=r"compressions: 0\.5 is there more than once; expected every compression once\."):
        train_alone(short(), [0.5, 0.0, 0.5], splits, tmp_path, LogProgress(), command="")
    with pytest.raises(RecipeRefused, match="granularity=0"):
        train_alone(dataclasses.replace(short(), granularity=0), [0.0], splits, tmp_path, LogProgress(), command="")
    assert list(tmp_path.iterdir()) == []


def test_equal_macs_are_spent_to_the_next_whole_step(splits, tmp_path):
    recipe = dataclasses.replace(short(), name="digits-mlp", study="digits")
    record = train_alone(recipe, [0.4], splits, tmp_path, LogProgress(), command="", equal_macs=True)
    network, example = recipe.network(), splits.prepare(splits.train.images[:2])
    fused = find_groups(recipe, fuse_batch_norm(network.eval(), example), example).architecture
    left = record.trained_macs - matching_macs(recipe, Sampler.of(recipe, fused))
    assert 0 <= left < 64 * record.measurements[0].macs
    assert (record.recipe, record.method) == ("digits", "alone equal MACs of mlp")


def test_equal_macs_of_another_inr_are_another_training(splits, tmp_path):
    tune = dataclasses.replace(digits().tune, optimization=dataclasses.replace(digits().tune.optimization, steps=2))
    recipe = dataclasses.replace(short(), tune=tune, inr=AnchoredSettings(exact=True))
    trained_alone(recipe, 0.4, splits, tmp_path, LogProgress(), equal_macs=True)
    trained_alone(recipe, 0.4, splits, tmp_path, LogProgress(), equal_macs=True)
    inexact = dataclasses.replace(recipe, inr=AnchoredSettings())
    with pytest.raises(CheckpointRefused):
        trained_alone(inexact, 0.4, splits, tmp_path, LogProgress(), equal_macs=True)


def test_a_distilled_network_learns_from_its_teacher_alone(splits, tmp_path):
    wrong = dataclasses.replace(splits.train, labels=torch.zeros_like(splits.train.labels))
    recipe = short()
    teacher = trained_alone(recipe, 0.0, splits, tmp_path / "right", LogProgress())
    student = trained_alone(recipe, 0.5, dataclasses.replace(splits, train=wrong), tmp_path / "wrong", LogProgress(), teacher=teacher.network)
    inputs = splits.prepare(splits.test.images)
    guessed = [network(inputs).argmax(dim=1) for network in (teacher.network, student.network)]
    assert (guessed[0] == guessed[1]).float().mean() > 0.8
    assert (guessed[1] != 0).float().mean() > 0.5


def test_the_teacher_of_distilled_networks_is_the_full_network_trained_alone(splits, tmp_path):
    record = train_alone(short(), [0.5, 0.75], splits, tmp_path, LogProgress(), command="neumeta alone", distilled=True)
    names = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert names == {"alone-0.pt", "alone-0.5-distilled.pt", "alone-0.75-distilled.pt"}
    assert record.method == "alone distilled"
    assert record.training == {"0.5": 40, "0.75": 40}
    assert [point.compression for point in record.measurements] == [0.5, 0.75]


def test_a_network_alone_is_initialized_for_its_own_widths():
    torch.manual_seed(0)
    network = resnet20().eval()
    architecture = find_architecture(network, torch.zeros(2, 3, 32, 32)).architecture
    small = resized(network, architecture, uniform(architecture, 0.75), None)
    before = {name: values.clone() for name, values in small.state_dict().items()}
    reset(small)
    for name, module in small.named_modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 500:  # enough values for a standard deviation
            fan_out = module.weight[:, 0].numel()
            assert module.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.2), name
            assert not torch.equal(module.weight, before[f"{name}.weight"])
