from __future__ import annotations

import copy
from functools import cache

import pytest
import torch
from neumeta_core.architecture import Architecture, ChannelGroup, GeneratedParameter, Segment
from neumeta_trainer.config import Order
from neumeta_trainer.structure.channel_groups import find_architecture
from neumeta_trainer.structure.fusion import fuse_batch_norm
from neumeta_trainer.structure.ordering import Permutations, channel_order, permute, permuted
from torch import nn

from tests.trainer import networks_zoo as zoo

KINDS: tuple[Order, ...] = ("smooth", "importance")


@cache
def fused(kind: type[nn.Module]) -> tuple[nn.Module, Architecture]:
    example = zoo.example_of(kind)
    network = fuse_batch_norm(zoo.build(kind), example)
    return network, find_architecture(network, example).architecture


def shuffled(architecture: Architecture, seed: int = 0) -> Permutations:
    generator = torch.Generator().manual_seed(seed)
    return {group.name: torch.randperm(group.full, generator=generator).tolist() for group in architecture.groups}


@pytest.mark.parametrize("order_kind", KINDS)
@pytest.mark.parametrize("kind", zoo.RESIZABLE, ids=lambda kind: kind.__name__)
@torch.no_grad()
def test_another_order_computes_the_same(kind: type[nn.Module], order_kind: Order) -> None:
    (network, architecture), example = fused(kind), zoo.example_of(kind)
    order = channel_order(network, architecture, order_kind)
    assert any(permutation != sorted(permutation) for permutation in order.values())
    expected = network(example)
    assert (permute(network, architecture, order)(example) - expected).abs().max() <= 1e-5 * max(1.0, float(expected.abs().max()))
    double = copy.deepcopy(network).double()
    expected = double(example.double())
    assert (permute(double, architecture, order)(example.double()) - expected).abs().max() <= 1e-10 * max(1.0, float(expected.abs().max()))


@pytest.mark.parametrize("kind", zoo.RESIZABLE, ids=lambda kind: kind.__name__)
@torch.no_grad()
def test_a_network_with_batch_norm_moves_its_statistics_along(kind: type[nn.Module]) -> None:
    network, example = zoo.build(kind).double(), zoo.example_of(kind).double()
    architecture = find_architecture(network, example).architecture
    moved = permute(network, architecture, shuffled(architecture))
    expected = network(example)
    assert (moved(example) - expected).abs().max() <= 1e-10 * max(1.0, float(expected.abs().max()))
    fused_order = permute(fuse_batch_norm(network, example), fused(kind)[1], shuffled(architecture))
    assert (fuse_batch_norm(moved, example)(example) - fused_order(example)).abs().max() <= 1e-10 * max(1.0, float(expected.abs().max()))


def test_network_inputs_and_outputs_keep_their_order() -> None:
    network, architecture = fused(zoo.UNet)
    tensors, order = network.state_dict(), shuffled(architecture)
    moved = permuted(architecture, tensors, order)
    assert moved["head.bias"] is tensors["head.bias"]
    assert torch.equal(moved["down1.weight"], tensors["down1.weight"][order["down1"]])
    assert torch.equal(moved["head.weight"], tensors["head.weight"][:, order["mix1"]])
    assert torch.equal(moved["mix1.weight"][:, :3], tensors["mix1.weight"][order["mix1"]][:, :3])


def test_all_members_of_a_residual_stream_share_one_order() -> None:
    network, architecture = fused(zoo.ResNet)
    tensors, order = network.state_dict(), shuffled(architecture)
    moved = permuted(architecture, tensors, order)
    for name in ("layer2.0.conv2.bias", "layer2.0.downsample.0.bias", "layer2.1.conv2.bias"):
        assert torch.equal(moved[name], tensors[name][order["layer2.0.conv2"]])


def test_the_entries_of_a_channel_move_together() -> None:
    axis = (Segment(count=1), Segment(group="a", repeat=2), Segment(group="a"))
    architecture = Architecture(
        groups=(ChannelGroup(name="a", full=3, minimum=1),),
        parameters=(GeneratedParameter(name="w", axes=((Segment(count=1),), axis), in_dim=1, macs_per_element=1),),
        max_compression=0.5,
    )
    moved = permuted(architecture, {"w": torch.tensor([[9, 10, 11, 20, 21, 30, 31, 1, 2, 3]])}, {"a": [2, 0, 1]})
    assert moved["w"].tolist() == [[9, 30, 31, 10, 11, 20, 21, 3, 1, 2]]


def test_importance_is_the_norm_of_what_makes_a_channel() -> None:
    hidden, classes, inputs = (Segment(group="a"),), (Segment(count=2),), (Segment(count=1),)
    architecture = Architecture(
        groups=(ChannelGroup(name="a", full=4, minimum=1),),
        parameters=(
            GeneratedParameter(name="0.weight", axes=(hidden, inputs), in_dim=1, macs_per_element=1),
            GeneratedParameter(name="0.bias", axes=(hidden,), macs_per_element=0),
            GeneratedParameter(name="1.weight", axes=(classes, hidden), in_dim=1, macs_per_element=1),
        ),
        max_compression=0.5,
    )
    network = nn.Sequential(nn.Linear(1, 4), nn.Linear(4, 2))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0], [-3.0], [2.0], [0.0]]))
        network[0].bias.copy_(torch.tensor([1.0, 0.0, -1.0, 2.0]))
        network[1].weight.copy_(torch.tensor([[9.0, 0.0, 0.0, 99.0]] * 2))
    assert channel_order(network, architecture, "importance") == {"a": [1, 2, 0, 3]}
    assert channel_order(network, architecture, "none") == {"a": [0, 1, 2, 3]}


@pytest.mark.parametrize("order_kind", KINDS)
def test_the_same_network_gives_the_same_order(order_kind: Order) -> None:
    network, architecture = fused(zoo.MobileNet)
    assert channel_order(network, architecture, order_kind) == channel_order(copy.deepcopy(network), architecture, order_kind)
