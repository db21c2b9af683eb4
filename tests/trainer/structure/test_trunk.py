from __future__ import annotations

import pytest
import torch
from neumeta_core.architecture import Architecture
from neumeta_core.configuration import from_widths
from neumeta_trainer.networks.resnet_cifar import resnet20
from neumeta_trainer.structure.channel_groups import find_architecture
from neumeta_trainer.structure.fusion import fuse_batch_norm
from neumeta_trainer.structure.resize import at_widths, resized, sliced
from neumeta_trainer.structure.trunk import divide
from torch import Tensor, nn
from torch.func import functional_call

from tests.trainer import networks_zoo as zoo


def morphing(network: nn.Module, example: Tensor, group: str) -> Architecture:
    others = [found.name for found in find_architecture(network, example, min_ratio=0.3).architecture.groups if found.name != group]
    return find_architecture(network, example, min_ratio=0.3, ignore=others).architecture


def paths(network: nn.Module) -> set[str]:
    return {name.rpartition(".")[0] for name, _ in network.named_parameters()}


def test_only_what_comes_behind_the_first_layer_that_differs_is_in_the_branch() -> None:
    example = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    network = fuse_batch_norm(resnet20(10), example)
    divided = divide(network, morphing(network, example, "layer3.2.conv1"), example)
    assert paths(divided.branch) == {"layer3.2.conv1", "layer3.2.conv2", "head"}
    assert paths(divided.trunk) == paths(network) - paths(divided.branch)


@pytest.mark.parametrize(("kind", "cut"), [(zoo.UNet, 6), (zoo.PreNormResNet, 2), (zoo.Tied, 1)])
@torch.no_grad()
def test_trunk_and_branch_are_the_network_at_any_width_whichever_group_morphs(kind: type[nn.Module], cut: int) -> None:
    example = zoo.example_of(kind)
    network = fuse_batch_norm(zoo.build(kind), example)
    groups, found = find_architecture(network, example, min_ratio=0.3).architecture.groups, []
    for group in groups:
        architecture = morphing(network, example, group.name)
        divided = divide(network, architecture, example)
        found += [group.name] if divided.branch is not network else []
        for width in (group.full, (group.minimum + group.full) // 2, group.minimum):
            member = from_widths(architecture, {group.name: width})
            weights = sliced(architecture, {name: 1.5 * network.get_parameter(name) for name in architecture.by_name}, member)
            with at_widths(divided.branch, architecture, member):
                outputs = functional_call(divided.branch, weights, divided.trunk(example))
            assert torch.allclose(outputs, resized(network, architecture, member, weights)(example), rtol=1e-4, atol=1e-5)
    assert found == [group.name for group in groups[-cut:]]


class ReadsWidths(nn.Module):
    """Halves of one layer, split by a width that is read from another layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.both = nn.Conv2d(8, 2 * 9, 3, padding=1)
        self.head = nn.Conv2d(9, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.both(torch.relu(self.stem(x))).split(self.head.in_channels, dim=1)
        return self.head(value * torch.sigmoid(gate))


class AddsInPlace(nn.Module):
    """What members share is changed by each of them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.both = nn.Conv2d(8, 9, 3, padding=1)
        self.out = nn.Conv2d(9, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)
        return torch.tanh(y.add_(self.out(torch.relu(self.both(torch.relu(y))))))


class LooksAtValues(nn.Module):
    """torch.fx cannot trace it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.both = nn.Conv2d(8, 9, 3, padding=1)
        self.head = nn.Conv2d(9, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.both(torch.relu(self.stem(x)))
        return self.head(-x if x.mean() > 100 else x)


@pytest.mark.parametrize("kind", [ReadsWidths, AddsInPlace, LooksAtValues])
def test_a_network_that_a_cut_would_change_stays_whole(kind: type[nn.Module]) -> None:
    network, example = kind().eval(), torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    divided = divide(network, morphing(network, example, "both"), example)
    assert divided.branch is network
    (same,) = divided.trunk(example)
    assert same is example


def test_where_every_layer_morphs_nothing_is_common() -> None:
    example = zoo.example_of(zoo.LeNet)
    network = fuse_batch_norm(zoo.build(zoo.LeNet), example)
    assert divide(network, find_architecture(network, example, min_ratio=0.3).architecture, example).branch is network
