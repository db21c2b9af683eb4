from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from neumeta_core.architecture import Architecture
from neumeta_core.configuration import Configuration, from_widths
from neumeta_trainer.networks.resnet_cifar import resnet20
from neumeta_trainer.structure.channel_groups import find_architecture
from neumeta_trainer.structure.fusion import fuse_batch_norm
from neumeta_trainer.structure.resize import at_widths, sliced
from neumeta_trainer.structure.shared_layers import SharedLayers
from torch import Tensor, nn
from torch.func import functional_call

from tests.trainer import networks_zoo as zoo


def morphing(network: nn.Module, example: Tensor, group: str) -> Architecture:
    others = [found.name for found in find_architecture(network, example, min_ratio=0.3).architecture.groups if found.name != group]
    return find_architecture(network, example, min_ratio=0.3, ignore=others).architecture


def images(batch: int = 3, size: int = 8, seed: int = 0) -> Tensor:
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(seed))


def members(architecture: Architecture) -> list[Configuration]:
    (group,) = architecture.groups
    widths = (group.full, group.minimum, (group.minimum + group.full) // 2, group.full)
    return [from_widths(architecture, {group.name: width}) for width in widths]


def outputs_and_gradients(network: nn.Module, architecture: Architecture, inputs: Tensor) -> list[Tensor]:
    """Of several members in one step, whose weights are slices."""
    weights = {name: network.get_parameter(name).detach().clone().requires_grad_() for name in architecture.by_name}
    outputs = []
    for member in members(architecture):
        with at_widths(network, architecture, member):
            outputs.append(functional_call(network, sliced(architecture, weights, member), (inputs,)))
    total = sum((k + 1) * output.square().mean() for k, output in enumerate(outputs))
    assert isinstance(total, Tensor)
    return [*outputs, *torch.autograd.grad(total, list(weights.values()))]


def assert_nothing_changes(network: nn.Module, architecture: Architecture) -> SharedLayers:
    inputs, common = 10 * images(seed=1), SharedLayers(network, architecture, images())
    wanted = outputs_and_gradients(network, architecture, inputs)
    with common.once():
        found = outputs_and_gradients(network, architecture, inputs)
    for one, other in zip(found, wanted, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-6)
    again = outputs_and_gradients(network, architecture, images(seed=2))
    assert not torch.allclose(again[0], wanted[0])
    return common


def test_of_a_resnet_whose_last_block_morphs_all_before_it_is_common() -> None:
    network = fuse_batch_norm(resnet20(10), images(size=32))
    common = SharedLayers(network, morphing(network, images(size=32), "layer3.2.conv1"), images(size=32))
    assert common.paths == ["conv1", "bn1", "relu", "layer1", "layer2", "layer3.0", "layer3.1", "layer3.2.shortcut"]


@pytest.mark.parametrize(
    ("kind", "group", "paths"),
    [
        (zoo.ResNet, "layer2.1.conv1", ["conv1", "bn1", "layer1", "layer2.0", "layer2.1.downsample"]),
        (zoo.UNet, "up1", ["down1", "down2", "norm2", "down3", "up2", "norm_up2", "mix2"]),
        (zoo.PreNormResNet, "block2.conv1", ["conv", "block1", "block2.norm1"]),
        (zoo.Tied, "free", ["stem"]),
        (zoo.SplitBySizes, "both", []),
    ],
)
def test_outputs_and_gradients_of_members_stay_as_they_are(kind: type[nn.Module], group: str, paths: list[str]) -> None:
    network = fuse_batch_norm(zoo.build(kind), images())
    common = assert_nothing_changes(network, morphing(network, images(), group))
    assert common.paths == paths


class Straight(torch.autograd.Function):
    """Rounds, and lets gradients through."""

    @staticmethod
    def forward(_ctx: Any, x: Tensor) -> Tensor:
        return (4 * x).round() / 4

    @staticmethod
    def backward(_ctx: Any, *gradients: Tensor) -> Any:
        return gradients[0]


def rounding(_network: Awkward, _x: Tensor, y: Tensor) -> Tensor:
    return Straight.apply(y)  # type: ignore[no-any-return, no-untyped-call]  # torch leaves apply untyped


def normalizing_without_gradients(_network: Awkward, _x: Tensor, y: Tensor) -> Tensor:
    with torch.no_grad():
        spread = y.square().mean((1, 2, 3), keepdim=True).sqrt() + 1e-3
    return y / spread


def a_layer_without_gradients(network: Awkward, _x: Tensor, y: Tensor) -> Tensor:
    return y + network.other(y.detach())


def adding_in_place(network: Awkward, x: Tensor, y: Tensor) -> Tensor:
    return network.other(x).add_(y)


def masking_in_place(network: Awkward, x: Tensor, y: Tensor) -> Tensor:
    return network.other(x).masked_fill_(y.detach() > 0.05, 0.0) * y.cos()


def large(x: Tensor) -> Tensor:
    """Whether inputs are ten times those on which common layers are looked for."""
    return x.amax() > 8


def changing_in_place_now_and_then(network: Awkward, x: Tensor, y: Tensor) -> Tensor:
    return y + network.other(x).mul_(1 + large(x).float())


def asleep_at_first(network: Awkward, x: Tensor, y: Tensor) -> Tensor:
    return x + network.other(y * large(x))


def calling_a_layer_twice(network: Awkward, x: Tensor, y: Tensor) -> Tensor:
    return y + network.other(x) + network.other(x.flip(3))


def reading_widths(network: Awkward, _x: Tensor, y: Tensor) -> Tensor:
    return y * (1 + network.both.out_channels % 2)


def looking_at_values(_network: Awkward, x: Tensor, y: Tensor) -> Tensor:
    return -y if x.mean() > 100 else y


class Awkward(nn.Module):
    """One layer that morphs, and then something else."""

    def __init__(self, then: Callable[[Awkward, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.both = nn.Conv2d(8, 9, 3, padding=1)
        self.out = nn.Conv2d(9, 8, 3, padding=1)
        self.other = nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(8, 5)
        self._then = then

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        y = self.out(torch.relu(self.both(x)))
        return self.head(self._then(self, x, y).mean((2, 3)))


@pytest.mark.parametrize(
    "then",
    [
        rounding,
        normalizing_without_gradients,
        a_layer_without_gradients,
        adding_in_place,
        masking_in_place,
        changing_in_place_now_and_then,
        asleep_at_first,
        calling_a_layer_twice,
        reading_widths,
        looking_at_values,
    ],
)
def test_whatever_a_forward_pass_does_stays_as_it_is(then: Callable[[Awkward, Tensor, Tensor], Tensor]) -> None:
    network = Awkward(then).eval()
    assert assert_nothing_changes(network, morphing(network, images(), "both")).paths == ["stem"]


class Counted(nn.Conv2d):
    """Knows how often it ran."""

    runs = 0

    def forward(self, input: Tensor) -> Tensor:
        self.runs += 1
        return super().forward(input)


def test_a_common_layer_runs_once_a_step_and_without_gradients() -> None:
    network = Awkward(rounding).eval()
    network.stem = Counted(3, 8, 3, padding=1)
    architecture = morphing(network, images(), "both")
    common = SharedLayers(network, architecture, images())
    for step in range(2):
        network.stem.runs = 0
        with common.once():
            outputs_and_gradients(network, architecture, images(seed=step))
            assert not network.stem(images()).requires_grad
        assert network.stem.runs == 1
    assert network.stem(images()).requires_grad


def test_a_step_that_fails_leaves_the_network_as_it_was() -> None:
    network = Awkward(rounding).eval()
    common = SharedLayers(network, morphing(network, images(), "both"), images())
    with pytest.raises(RuntimeError), common.once():
        network(torch.zeros(1, 4, 8, 8))
    assert not torch.equal(network(images(seed=1)), network(images(seed=2)))


def test_where_every_layer_morphs_nothing_is_common() -> None:
    example = zoo.example_of(zoo.LeNet)
    network = fuse_batch_norm(zoo.build(zoo.LeNet), example)
    assert SharedLayers(network, find_architecture(network, example, min_ratio=0.3).architecture, example).paths == []
