from __future__ import annotations

import pytest
import torch
from neumeta_core.configuration import from_widths
from neumeta_trainer.baselines.resampling import interpolation, quadrature, resampled
from neumeta_trainer.structure.channel_groups import find_architecture
from torch import nn

from tests.trainer import networks_zoo as zoo


@pytest.mark.parametrize("kind", zoo.RESIZABLE, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("rule", ["mean", "trapezoid"])
def test_at_full_width_the_network_is_itself(kind, rule):
    network, example = zoo.build(kind), zoo.example_of(kind)
    architecture = find_architecture(network, example).architecture
    same = resampled(network, architecture, architecture.full_widths, rule)
    assert all(torch.equal(tensor, network.state_dict()[name]) for name, tensor in same.state_dict().items())


@pytest.mark.parametrize("kind", zoo.RESIZABLE, ids=lambda kind: kind.__name__)
@torch.no_grad()
def test_every_kind_of_network_runs_at_other_widths(kind):
    network, example = zoo.build(kind), zoo.example_of(kind)
    architecture = find_architecture(network, example).architecture
    configuration = from_widths(architecture, {group.name: group.minimum for group in architecture.groups})
    member = resampled(network, architecture, configuration, "trapezoid")
    assert member(example).shape == network(example).shape
    for parameter in architecture.parameters:
        assert member.state_dict()[parameter.name].shape == parameter.shape(configuration)


def linear_in_the_channel(repeat: int = 1) -> nn.Module:
    """Every weight of the hidden layer is a linear function of its channel's position; the head reads each ``repeat`` times."""
    network = nn.Sequential(nn.Conv2d(1, 9, 1), nn.AdaptiveAvgPool2d((repeat, 1)), nn.Flatten(), nn.Linear(9 * repeat, 2))
    position = torch.linspace(0, 1, 9)
    with torch.no_grad():
        network[0].weight[:] = (2 * position - 1).view(9, 1, 1, 1)
        network[0].bias[:] = 3 * position
        network[3].weight[:] = torch.stack([(1 + position).repeat_interleave(repeat), (1 - position).repeat_interleave(repeat)])
    return network


@pytest.mark.parametrize("repeat", [1, 2])
@pytest.mark.parametrize("width", [5, 4])
def test_weights_that_are_linear_in_the_channel_are_hit_exactly(repeat, width):
    network = linear_in_the_channel(repeat)
    architecture = find_architecture(network, torch.randn(2, 1, 4, 4)).architecture
    member = resampled(network, architecture, {"0": width}, "mean")
    position = torch.linspace(0, 1, width)
    torch.testing.assert_close(member[0].weight.flatten(), 2 * position - 1)
    torch.testing.assert_close(member[0].bias, 3 * position)
    torch.testing.assert_close(member[3].weight[0], (1 + position).repeat_interleave(repeat) * 9 / width)
    assert torch.equal(member[3].bias, network[3].bias)


@torch.no_grad()
def test_the_trapezoid_keeps_an_integral_over_channels_that_is_linear_in_pieces():
    # What the head sums is constant over the channels, so every quadrature has to give the trained network's own output.
    network = linear_in_the_channel()
    network[0].weight.fill_(0.7)
    network[0].bias.fill_(0.3)
    quadrature_of_all = quadrature(9, "trapezoid")
    network[3].weight[:] = (2.0 * quadrature_of_all).float()
    inputs = torch.randn(3, 1, 4, 4)
    architecture = find_architecture(network, inputs).architecture
    for width in (3, 4, 7):
        torch.testing.assert_close(resampled(network, architecture, {"0": width}, "trapezoid")(inputs), network(inputs))
        assert not torch.allclose(resampled(network, architecture, {"0": width}, "mean")(inputs), network(inputs), atol=1e-3)


def test_quadratures_are_means_and_the_ends_of_a_trapezoid_count_half():
    assert quadrature(4, "mean").tolist() == [0.25] * 4
    torch.testing.assert_close(quadrature(4, "trapezoid"), torch.tensor([1, 2, 2, 1], dtype=torch.float64) / 6)
    assert quadrature(1, "trapezoid").tolist() == [1.0]


def test_a_single_position_lies_in_the_middle():
    torch.testing.assert_close(interpolation(4, 1), torch.tensor([[0, 0.5, 0.5, 0]], dtype=torch.float64))
    assert torch.equal(interpolation(5, 3), torch.eye(5, dtype=torch.float64)[::2])
