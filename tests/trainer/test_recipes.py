"""Recipes for CIFAR: what morphs, what is held out, what the tiers change."""

import dataclasses

import pytest
import torch
from neumeta_core.architecture import Architecture
from neumeta_trainer.config import Recipe
from neumeta_trainer.errors import RecipeRefused
from neumeta_trainer.recipes import RECIPES
from neumeta_trainer.structure.morphing import find_groups
from neumeta_trainer.training.sampler import Sampler

WHOLE = [f"resnet20-{data}{kind}" for data in ("cifar10", "cifar100") for kind in ("", "-mlp", "-factorised")]
BLOCK = ["resnet20-cifar10-block", "resnet20-cifar10-block-paper"]


def architecture(recipe: Recipe) -> Architecture:
    return find_groups(recipe, recipe.network().eval(), torch.zeros(2, 3, 32, 32)).architecture


@pytest.mark.parametrize("name", WHOLE)
def test_residual_streams_and_inner_widths_morph_from_full_to_a_quarter(name):
    groups = architecture(RECIPES[name]()).groups
    # One stream and three inner widths in each of three stages.
    assert sorted((group.full, group.minimum) for group in groups) == [(16, 4)] * 4 + [(32, 8)] * 4 + [(64, 16)] * 4


@pytest.mark.parametrize("name", WHOLE)
def test_points_of_the_curve_between_trained_widths_are_held_out(name):
    recipe = RECIPES[name]()
    found = architecture(recipe)
    sampler = Sampler.of(recipe, found)
    for group in found.groups:
        assert {sampler.is_held_out(width / group.full) for width in sampler.allowed(group)} == {False}
    unseen = [c for c in recipe.curve if all(sampler.is_held_out(round(group.full * (1 - c)) / group.full) for group in found.groups)]
    assert unseen == [1 / 16, 3 / 16, 5 / 16, 9 / 16, 11 / 16]


@pytest.mark.parametrize("name", BLOCK)
def test_the_block_protocol_morphs_one_inner_width_to_a_half(name):
    found = architecture(RECIPES[name]())
    assert [(group.name, group.full, group.minimum) for group in found.groups] == [("layer3.2.conv1", 64, 32)]
    assert {parameter.name.rpartition(".")[0] for parameter in found.parameters} == {"layer3.2.conv1", "layer3.2.bn1", "layer3.2.conv2"}


def test_a_group_that_the_network_does_not_have_is_refused_with_those_it_has():
    with pytest.raises(RecipeRefused, match=r"no channel group 'layer4' that can be resized; expected some of conv1, layer1\.0\.conv1"):
        architecture(dataclasses.replace(RECIPES["resnet20-cifar10"](), morph=("layer4",)))


def test_tiers_change_the_amount_of_training_alone():
    trial, long = (RECIPES["resnet20-cifar10"](tier) for tier in ("trial", "long"))
    steps = [stage.optimization.steps for recipe in (trial, long) for stage in (recipe.family, recipe.tune)]
    assert steps == [2730, 390, 68250, 9750]

    def timeless(recipe: Recipe) -> Recipe:
        stages = {name: dataclasses.replace(stage, optimization=None) for name in ("family", "tune") if (stage := getattr(recipe, name))}
        return dataclasses.replace(recipe, tier="", network=None, **stages)

    assert timeless(trial) == timeless(long)
