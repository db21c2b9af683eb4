"""Total variation in several orders."""

from __future__ import annotations

import pytest
import torch
from neumeta_core.architecture import Architecture, ChannelGroup, GeneratedParameter, Segment
from neumeta_trainer.analyses.variation import ORDERS, TOTAL, variations
from neumeta_trainer.structure.channel_groups import find_architecture
from neumeta_trainer.structure.fusion import fuse_batch_norm
from neumeta_trainer.structure.ordering import channel_order, permute
from neumeta_trainer.structure.shortest_path import nearest_neighbour, path_length, shortest_loop
from neumeta_trainer.structure.smoothing import channel_distances
from torch import nn

from tests.trainer import networks_zoo as zoo


def two_layers() -> tuple[nn.Module, Architecture]:
    """Four hidden units: what they read are the corners of a square of side 3, what they write is 0 or 10."""
    network = nn.Sequential(nn.Linear(2, 4, bias=False), nn.ReLU(), nn.Linear(4, 1, bias=False))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[0.0, 0.0], [3.0, 3.0], [3.0, 0.0], [0.0, 3.0]]))
        network[2].weight.copy_(torch.tensor([[0.0, 10.0, 10.0, 0.0]]))
    hidden = (Segment(group="hidden"),)
    parameters = (
        GeneratedParameter(name="0.weight", axes=(hidden, (Segment(count=2),)), in_dim=1, macs_per_element=1),
        GeneratedParameter(name="2.weight", axes=((Segment(count=1),), hidden), in_dim=1, macs_per_element=1),
    )
    return network, Architecture(groups=(ChannelGroup(name="hidden", full=4, minimum=1),), parameters=parameters, max_compression=0.75)


def test_a_hand_made_group_in_every_order() -> None:
    found = variations(*two_layers())["hidden"]
    assert found["identity"] == (6 + 3 + 6) + (10 + 0 + 10)
    assert found["ours"] == (3 + 3 + 3) + (0 + 10 + 0)  # 0, 3, 1, 2 or 3, 0, 2, 1: the pairs that write alike, joined along a side
    assert found["greedy"] == (3 + 3 + 3) + (0 + 10 + 0)  # 0, 3, 1, 2
    assert found["single layer"] == (3 + 3 + 3) + (10 + 0 + 10)  # round the square: 0, 2, 1, 3
    assert found["ours"] <= found["random"] <= 16 + 16 + 13


@pytest.mark.parametrize("kind", [zoo.LeNet, zoo.ResNet, zoo.UNet], ids=lambda kind: kind.__name__)
def test_ours_is_what_training_uses_and_never_rougher_than_the_given_order(kind: type[nn.Module]) -> None:
    example = zoo.example_of(kind)
    network = fuse_batch_norm(zoo.build(kind), example)
    architecture = find_architecture(network, example).architecture
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    found = variations(network, architecture)
    ordered = permute(network, architecture, channel_order(network, architecture, "smooth")).state_dict()
    for group in architecture.groups:
        along = list(range(group.full))
        assert found[group.name]["ours"] == pytest.approx(path_length(channel_distances(architecture, ordered, group.name).numpy(), along))
        assert found[group.name]["ours"] <= found[group.name]["identity"] * (1 + 1e-12)
        distances = channel_distances(architecture, before, group.name).numpy()
        assert found[group.name]["identity"] == pytest.approx(path_length(distances, along))
        assert found[group.name]["greedy"] == pytest.approx(path_length(distances, nearest_neighbour(distances, 0).tolist()))
    assert tuple(found[TOTAL]) == ORDERS
    assert found[TOTAL]["ours"] < found[TOTAL]["random"]
    assert all(torch.equal(parameter, before[name]) for name, parameter in network.named_parameters())
    assert variations(network, architecture) == found


@pytest.mark.parametrize("count", [3, 12, 20, 24])
def test_the_shortest_loop_through_points_on_a_circle_goes_round(count: int) -> None:
    angles = torch.arange(count) * (2 * torch.pi / count)
    shuffled = torch.cat([torch.zeros(1, dtype=torch.long), 1 + torch.randperm(count - 1, generator=torch.Generator().manual_seed(0))])
    points = torch.stack([angles.cos(), angles.sin()], 1)[shuffled].double()
    loop = shortest_loop(torch.cdist(points, points).numpy())
    assert sorted(loop) == list(range(count))
    assert loop[0] == 0
    assert loop[1] < loop[-1]
    steps = {min((b - a) % count, (a - b) % count) for a, b in zip(shuffled[loop].tolist(), shuffled[loop].roll(-1).tolist(), strict=True)}
    assert steps == {1}
