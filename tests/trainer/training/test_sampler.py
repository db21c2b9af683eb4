from __future__ import annotations

import dataclasses

import pytest
import torch
from neumeta_core.architecture import Architecture, ChannelGroup, GeneratedParameter
from neumeta_core.configuration import Configuration
from neumeta_trainer.errors import RecipeRefused
from neumeta_trainer.training.sampler import Sampler

from tests import tiny
from tests.tiny import tiny_architecture

HELD_OUT = ((0.4, 0.6), (0.8, 0.9))


@pytest.fixture
def sampler() -> Sampler:
    return Sampler(tiny_architecture(), HELD_OUT, seed=3)


def test_no_group_ever_gets_a_held_out_width(sampler):
    full = sampler.architecture.full_widths
    for configuration in sampler.draw(0, 3000):
        for group, width in configuration.items():
            ratio = width / full[group]
            assert not any(low <= ratio <= high for low, high in HELD_OUT), (group, width)


def test_every_allowed_width_is_drawn(sampler):
    seen = {(group, width) for configuration in sampler.draw(0, 3000) for group, width in configuration.items()}
    assert seen == {(group.name, width) for group in sampler.architecture.groups for width in sampler.allowed(group)}


def test_draws_depend_on_seed_and_step_alone(sampler):
    first = sampler.draw(5, 4)
    torch.manual_seed(99)
    sampler.draw(6, 4)
    assert sampler.draw(5, 4) == first
    assert sampler.draw(6, 4) != first
    assert Sampler(sampler.architecture, HELD_OUT, seed=4).draw(5, 4) != first


def test_the_sandwich_holds_the_full_and_the_smallest_member(sampler):
    full, smallest, *between = sampler.sandwich(0, 2)
    assert dict(full) == {"conv1": 8, "conv2": 12}
    assert dict(smallest) == {"conv1": 2, "conv2": 3}
    assert len(between) == 2


def test_the_members_of_levels_are_trained_in_every_step(sampler):
    leveled = Sampler(sampler.architecture, HELD_OUT, levels=(0.75, 0.25))
    full, smallest, level, *between = leveled.sandwich(0, 1)
    assert (full, smallest) == (sampler.full, sampler.smallest)
    assert dict(level) == {"conv1": 6, "conv2": 9}
    assert len(between) == 1  # the level at 0.25 is the smallest member, which is there once


def test_members_that_are_exact_already_are_left_out(sampler):
    leveled = Sampler(sampler.architecture, HELD_OUT, levels=(0.75, 0.25))
    full, smallest, level, *between = leveled.sandwich(3, 2)
    assert leveled.sandwich(3, 2, [full, level]) == [smallest, *between]
    assert leveled.sandwich(3, 2, [full, smallest, level]) == leveled.draw(3, 2) == between


def test_uniform_draws_keep_one_ratio():
    uniform = Sampler(tiny_architecture(), uniform_share=1.0)
    for configuration in uniform.draw(0, 200):
        assert abs(configuration["conv1"] / 8 - configuration["conv2"] / 12) <= 0.5 / 8 + 0.5 / 12


@pytest.mark.parametrize(("interval", "width"), [((0.2, 0.3), "2 of 8"), ((0.9, 1.0), "8 of 8")])
def test_what_every_step_trains_cannot_be_held_out(interval, width):
    with pytest.raises(RecipeRefused, match=f"conv1 is trained at {width} channels in every step"):
        Sampler(tiny_architecture(), (interval,))


def test_a_level_cannot_be_held_out():
    with pytest.raises(RecipeRefused, match="conv1 is trained at 4 of 8 channels in every step"):
        Sampler(tiny_architecture(), HELD_OUT, levels=(0.5,))


def test_a_member_is_unseen_only_when_all_its_widths_are_held_out(sampler):
    assert sampler.is_unseen(Configuration((("conv1", 4), ("conv2", 6))))
    assert not sampler.is_unseen(Configuration((("conv1", 4), ("conv2", 8))))


def test_independent_members_have_a_width_of_their_own_for_every_group(sampler):
    drawn = sampler.independent(200)
    assert sampler.independent(200) == drawn
    full = sampler.architecture.full_widths
    ratios = [{round(width / full[group], 1) for group, width in configuration.items()} for configuration in drawn]
    # With one ratio for all groups, rounding alone would tell them apart.
    assert sum(max(found) - min(found) > 0.2 for found in ratios) > 50
    for group in sampler.architecture.groups:
        assert {configuration[group.name] for configuration in drawn} == set(sampler.allowed(group))


def mean_ratios(sampler: Sampler, *, even: bool) -> torch.Tensor:
    """Of members with a width of its own for every group."""
    apart = dataclasses.replace(sampler, uniform_share=0.0)
    full = sampler.architecture.full_widths
    return torch.tensor([sum(width / full[group] for group, width in each.items()) / len(full) for each in apart.draw(0, 3000, even=even)])


def test_even_draws_are_as_often_narrow_or_wide_as_in_the_middle():
    groups = tuple(ChannelGroup(name=f"g{k}", full=16, minimum=4) for k in range(12))
    parameters = tuple(GeneratedParameter(name=f"{each.name}.bias", axes=(tiny.group(each.name),), macs_per_element=0) for each in groups)
    sampler = Sampler(Architecture(groups=groups, parameters=parameters, max_compression=0.75))
    for even, (least, most) in ((True, (0.2, 0.35)), (False, (0.0, 0.05))):
        ratios = mean_ratios(sampler, even=even)
        for outer in (ratios < 0.25 + 0.75 / 4, ratios > 1 - 0.75 / 4):
            assert least <= float(outer.float().mean()) <= most, even


def test_even_draws_see_every_width_that_is_not_held_out_and_no_other(sampler):
    apart = dataclasses.replace(sampler, uniform_share=0.0)
    seen = {(group, width) for configuration in apart.draw(0, 3000, even=True) for group, width in configuration.items()}
    assert seen == {(group.name, width) for group in sampler.architecture.groups for width in sampler.allowed(group)}
