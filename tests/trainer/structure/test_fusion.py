from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from neumeta_core.errors import NetworkUnsupported
from neumeta_trainer.structure.fusion import fuse_batch_norm
from neumeta_trainer.structure.layers import Affine
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from tests.trainer import networks_zoo as zoo


def randomized(network: nn.Module) -> nn.Module:
    """Random normalization statistics, in eval mode."""
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            for tensor in (module.running_mean, module.running_var, module.weight, module.bias):
                if tensor is not None:
                    nn.init.uniform_(tensor, 0.3, 2.0)
    return network.eval()


@torch.no_grad()
def assert_fused(network: nn.Module, example: Tensor) -> nn.Module:
    fused = fuse_batch_norm(network, example)
    expected = network(example)
    assert (fused(example) - expected).abs().max() <= 1e-5 * max(1.0, float(expected.abs().max()))
    assert not any(isinstance(module, _BatchNorm) for module in fused.modules())
    assert not fused.training
    return fused


@pytest.mark.parametrize("kind", zoo.RESIZABLE, ids=lambda kind: kind.__name__)
def test_computes_the_same_without_any_batch_norm(kind: type[nn.Module]) -> None:
    assert_fused(zoo.build(kind), zoo.example_of(kind))


@pytest.mark.parametrize(
    "layer",
    [
        lambda: nn.Sequential(nn.Conv1d(4, 6, 3, bias=False), nn.BatchNorm1d(6)),
        lambda: nn.Sequential(nn.Conv1d(4, 6, 3, groups=2), nn.BatchNorm1d(6)),
        lambda: nn.Sequential(nn.Conv1d(4, 4, 3, groups=4, bias=False), nn.BatchNorm1d(4, affine=False)),
        lambda: nn.Sequential(nn.ConvTranspose1d(4, 6, 3, bias=False), nn.BatchNorm1d(6)),
        lambda: nn.Sequential(nn.ConvTranspose1d(4, 6, 3, groups=2), nn.BatchNorm1d(6, eps=0.1)),
        lambda: nn.Sequential(nn.ConvTranspose1d(4, 4, 3, groups=4, bias=False), nn.BatchNorm1d(4)),
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(20, 6, bias=False), nn.BatchNorm1d(6)),
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(20, 6), nn.BatchNorm1d(6, affine=False)),
    ],
    ids=["conv", "grouped", "depthwise", "transposed", "transposed-grouped", "transposed-depthwise", "linear", "linear-no-affine"],
)
def test_folds_into_every_kind_of_layer(layer: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    fused = assert_fused(randomized(layer()), torch.randn(3, 4, 5))
    assert not any(isinstance(module, Affine) for module in fused.modules())


class Shared(nn.Module):
    """A norm that cannot be folded: the convolution has another consumer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x + self.norm(x)


class CalledTwice(Shared):
    """The same convolution once with its norm and once without."""

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)) * self.conv(x + 1)


class SharedNorm(Shared):
    """One norm for two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)) + self.norm(self.other(x))


class SharedWeight(Shared):
    """The convolution's weight is used by itself."""

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)) * self.conv.weight.sum()


class TiedWeight(SharedNorm):
    """The convolution's weight belongs to another layer as well."""

    def __init__(self) -> None:
        super().__init__()
        self.other.weight = self.conv.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)) + self.other(x)


class ByName(Shared):
    """Layers that get their input by name."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(input=x)
        return x + self.norm(input=x)


@pytest.mark.parametrize("kind", [Shared, CalledTwice, SharedNorm, SharedWeight, TiedWeight, ByName], ids=lambda kind: kind.__name__)
def test_what_cannot_be_folded_becomes_an_affine(kind: type[Shared]) -> None:
    torch.manual_seed(0)
    fused = assert_fused(randomized(kind()), torch.randn(2, 3, 4, 4))
    assert isinstance(fused.get_submodule("norm"), Affine)


def test_a_linear_on_sequences_is_not_folded_into_the_wrong_dimension() -> None:
    torch.manual_seed(0)
    network = randomized(nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6)))
    fused = assert_fused(network, torch.randn(2, 6, 5))
    assert isinstance(fused[1], Affine)  # type: ignore[index]


def test_a_norm_with_two_names_is_replaced_under_both() -> None:
    torch.manual_seed(0)
    network = SharedNorm()
    network.alias = network.norm
    fused = assert_fused(randomized(network), torch.randn(2, 3, 4, 4))
    assert fused.alias is fused.norm


def test_pre_norm_keeps_its_paths() -> None:
    fused = fuse_batch_norm(zoo.build(zoo.PreNormResNet), zoo.example_of(zoo.PreNormResNet))
    assert isinstance(fused.get_submodule("block1.norm1"), Affine)
    assert isinstance(fused.get_submodule("block1.norm2"), nn.Identity)
    assert "block1.conv1.bias" in fused.state_dict()


def test_leaves_the_network_alone() -> None:
    network = zoo.build(zoo.ResNet).train()
    before = copy.deepcopy(network.state_dict())
    fuse_batch_norm(network, zoo.example_of(zoo.ResNet))
    assert network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("kind", [zoo.LeNet, zoo.PreNormResNet], ids=lambda kind: kind.__name__)
def test_an_unfused_checkpoint_cannot_be_loaded_into_a_fused_network(kind: type[nn.Module]) -> None:
    network = zoo.build(kind)
    fused = fuse_batch_norm(network, zoo.example_of(kind))
    with pytest.raises(RuntimeError, match="running_mean"):
        fused.load_state_dict(network.state_dict())


def test_refuses_by_name_what_cannot_be_traced() -> None:
    with pytest.raises(NetworkUnsupported, match=r"Undecided has BatchNorm, and torch.fx cannot trace it .* Let its forward"):
        fuse_batch_norm(zoo.build(zoo.Undecided), zoo.example_of(zoo.Undecided))


def test_does_not_trace_what_has_no_batch_norm() -> None:
    network = zoo.build(zoo.Undecided)
    network.norm = nn.Identity()
    example = zoo.example_of(zoo.Undecided)
    assert torch.equal(fuse_batch_norm(network, example)(example), network(example))


def test_a_synchronized_norm_is_folded() -> None:
    torch.manual_seed(0)
    assert_fused(randomized(nn.Sequential(nn.Conv2d(3, 4, 1), nn.SyncBatchNorm(4))), torch.randn(2, 3, 4, 4))


class Activated(nn.BatchNorm2d):
    """A norm with an activation of its own, which torch.fx runs through."""

    def forward(self, input: Tensor) -> Tensor:
        return torch.relu(functional.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps))


def test_refuses_by_name_norms_that_do_more_than_normalize() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), Activated(4), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), Activated(4))
    with pytest.raises(NetworkUnsupported, match=r"^1 \(Activated\), 4 \(Activated\): a BatchNorm with a forward of its own .* Use torch's own"):
        fuse_batch_norm(network, torch.zeros(2, 3, 4, 4))


class ReadsItsNorm(Shared):
    """The norm's weight is used by itself; what takes the norm's place has another one."""

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)) * self.norm.weight.view(-1, 1, 1)


class GivesTwo(ReadsItsNorm):
    """Several outputs, of which the last is concerned."""

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:  # type: ignore[override]
        return x, {"scaled": super().forward(x)}


@pytest.mark.parametrize("kind", [ReadsItsNorm, GivesTwo], ids=lambda kind: kind.__name__)
def test_refuses_a_network_that_computes_something_else_without_its_norms(kind: type[Shared]) -> None:
    torch.manual_seed(0)
    with pytest.raises(NetworkUnsupported, match=rf"^{kind.__name__} computes something else once its BatchNorm is fused\. Let its forward call"):
        fuse_batch_norm(randomized(kind()), torch.randn(2, 3, 4, 4))


class CountsChannels(Shared):
    """Asks its norm for something that only a norm has."""

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)) * self.norm.num_features


def test_refuses_a_network_that_does_not_run_without_its_norms() -> None:
    with pytest.raises(NetworkUnsupported, match=r"^CountsChannels does not run without BatchNorm .* 'num_features'"):
        fuse_batch_norm(CountsChannels(), torch.randn(2, 3, 4, 4))


def test_refuses_a_norm_without_running_statistics() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False))
    with pytest.raises(NetworkUnsupported, match=r"^1: this BatchNorm keeps no running statistics"):
        fuse_batch_norm(network, torch.randn(2, 3, 4, 4))
