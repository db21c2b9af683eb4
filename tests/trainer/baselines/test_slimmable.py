from __future__ import annotations

import dataclasses
import signal
from contextlib import contextmanager

import pytest
import torch
from neumeta_core.architecture import Architecture
from neumeta_core.configuration import uniform
from neumeta_core.cost import cost_of
from neumeta_trainer.baselines.slimmable import switches, train_slimmable, universal_sampler
from neumeta_trainer.config import NetworkStage, Optimization
from neumeta_trainer.data import Batches, load_digits
from neumeta_trainer.networks.small import SmallNet
from neumeta_trainer.recipes.digits import digits
from neumeta_trainer.structure.channel_groups import find_architecture
from neumeta_trainer.structure.resize import resized
from neumeta_trainer.training.effort import forward_macs
from neumeta_trainer.training.loop import Workspace
from neumeta_trainer.training.progress import LogProgress
from torch import nn

STAGE = NetworkStage(optimization=Optimization(steps=8, rate=0.05, optimizer="sgd"), batch=32)


def batches() -> Batches:
    splits = load_digits()
    return Batches(splits.train, splits, STAGE.batch, seed=0)


def network() -> nn.Module:
    torch.manual_seed(0)
    return SmallNet(width=8)


def architecture(max_compression: float = 0.75) -> Architecture:
    return find_architecture(network(), torch.randn(2, 1, 8, 8), min_ratio=1 - max_compression, max_compression=max_compression).architecture


class Cut(Batches):
    """Somebody presses Ctrl-C in one of the steps."""

    def at(self, step):
        if step == 5:
            signal.raise_signal(signal.SIGINT)
        return super().at(step)


def test_an_interrupted_run_ends_with_the_same_bits(tmp_path):
    whole, cut, resumed = network(), network(), network()
    train_slimmable(whole, architecture(), batches(), STAGE, Workspace(tmp_path / "whole", "one", LogProgress()))
    splits = load_digits()
    with pytest.raises(KeyboardInterrupt):
        train_slimmable(cut, architecture(), Cut(splits.train, splits, 32, seed=0), STAGE, Workspace(tmp_path / "cut", "one", LogProgress()))
    assert torch.load(tmp_path / "cut" / "slimmable.pt", weights_only=True)["step"] == 6
    train_slimmable(resumed, architecture(), batches(), STAGE, Workspace(tmp_path / "cut", "one", LogProgress()))
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True))
    assert not torch.equal(whole.conv2.weight, network().conv2.weight)


class Losses:
    def __init__(self):
        self.values = []

    @contextmanager
    def stage(self, *_):
        yield lambda _, loss: self.values.append(loss)


def test_every_step_trains_all_four_widths_on_the_labels(tmp_path):
    losses = Losses()
    train_slimmable(network(), architecture(), batches(), STAGE, Workspace(tmp_path, "one", losses))
    inputs, labels = batches().at(0)
    members = [resized(network(), architecture(), uniform(architecture(), c), None).train() for c in (0.0, 0.25, 0.5, 0.75)]
    expected = sum(nn.functional.cross_entropy(member(inputs), labels) for member in members)
    assert losses.values[0] == pytest.approx(float(expected.detach()), rel=1e-5)
    assert len(losses.values) == STAGE.optimization.steps


def test_widths_below_the_trained_range_are_left_out():
    assert [dict(found) for found in switches(architecture(0.5))] == [{"conv1": 8, "conv2": 16}, {"conv1": 6, "conv2": 12}, {"conv1": 4, "conv2": 8}]


def test_universal_networks_draw_one_ratio_for_all_groups_and_none_that_is_held_out():
    recipe = dataclasses.replace(digits(), held_out=((0.45, 0.55),))
    sampler = universal_sampler(recipe, architecture())
    drawn = sampler.draw(0, 200)
    assert all(abs(found["conv1"] / 8 - found["conv2"] / 16) <= 1 / 16 for found in drawn)
    assert not any(sampler.is_held_out(found["conv2"] / 16) for found in drawn)
    assert len(set(drawn)) > 5


def test_the_forward_passes_of_all_members_count():
    found = architecture()
    members = [uniform(found, 0.0), uniform(found, 0.5)]
    each = [cost_of(found, member).macs for member in members]
    assert forward_macs(found, lambda step: members if step else members[:1], STAGE) == 32 * (8 * each[0] + 7 * each[1])
