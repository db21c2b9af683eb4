from __future__ import annotations

import pytest
import torch
from neumeta_core.configuration import Configuration, uniform
from neumeta_trainer.training.slices import Slices
from torch import Tensor, nn

from tests.trainer import networks_zoo as zoo
from tests.trainer.structure.test_resize import architecture_of

KINDS = [zoo.LeNet, zoo.UNet]  # a Linear after a flatten; concatenated skip connections
LEVELS = (0.75, 0.5)


def made(kind: type[nn.Module], upward: float = 1.0) -> Slices:
    """With additions of random values."""
    slices = Slices(zoo.build(kind), architecture_of(kind), LEVELS, upward)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for addition in slices.additions.parameters():
            addition.copy_(0.1 * torch.randn(addition.shape, generator=generator))
    return slices


def at(slices: Slices, compression: float) -> Configuration:
    return uniform(slices.architecture, compression)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("compression", [0.0, 0.2, 0.5, 0.8])
@torch.no_grad()
def test_a_member_computes_what_its_slice_computes(kind: type[nn.Module], compression: float) -> None:
    slices, example = made(kind).eval(), zoo.example_of(kind)
    member = slices.member(at(slices, compression))
    assert torch.equal(member(example), slices(at(slices, compression), example))


@pytest.mark.parametrize("kind", KINDS)
def test_without_values_of_their_own_levels_change_nothing(kind: type[nn.Module]) -> None:
    network = zoo.build(kind)
    plain, leveled = Slices(network, architecture_of(kind)), Slices(network, architecture_of(kind), LEVELS)
    for compression in (0.0, 0.3, 0.7):
        one, other = plain.weights(at(plain, compression)), leveled.weights(at(leveled, compression))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_member_holds_the_additions_of_its_level_and_of_those_above() -> None:
    slices = made(zoo.LeNet)
    name = "conv2.weight"
    index = [name for name, _ in slices.network.named_parameters()].index(name)
    full, upper, lower = slices.network.get_parameter(name), *(addition[index] for addition in slices.additions)
    out, in_ = (slices.architecture.by_name[name].shape(at(slices, 0.5)))[:2]
    wanted = full[:out, :in_] + upper[:out, :in_] + lower
    assert torch.allclose(slices.weights(at(slices, 0.5))[name], wanted)
    assert torch.equal(slices.weights(at(slices, 0.0))[name], full)


def gradients(slices: Slices, compression: float) -> tuple[Tensor, ...]:
    """Of a member's squared output: their sizes in the full network's weights, and in the additions of every level."""
    slices.zero_grad(set_to_none=False)
    slices(at(slices, compression), zoo.example_of(zoo.LeNet)).square().sum().backward()
    parts = [slices.network.get_parameter(name) for name in slices.names], *(list(addition.parameters()) for addition in slices.additions)
    return tuple(torch.stack([torch.zeros(()) if p.grad is None else p.grad.norm() for p in part]) for part in parts)


@pytest.mark.parametrize(("compression", "shares"), [(0.0, (1, 0, 0)), (0.25, (0.25, 1, 0)), (0.5, (0.25, 0.25, 1)), (0.8, (0.25, 0.25, 1))])
def test_a_member_passes_a_share_of_its_gradient_to_the_levels_above(compression: float, shares: tuple[float, ...]) -> None:
    whole, damped = gradients(made(zoo.LeNet), compression), gradients(made(zoo.LeNet, upward=0.25), compression)
    for share, one, other in zip(shares, whole, damped, strict=True):
        assert (one.max() > 0) == (share > 0)
        assert torch.allclose(other, share * one)


def test_what_cannot_be_resized_belongs_to_no_level() -> None:
    whole, damped = made(zoo.LeNet), made(zoo.LeNet, upward=0.25)
    for slices in (whole, damped):
        gradients(slices, 0.8)
    name = "fc2.bias"
    assert name not in damped.names
    assert torch.equal(damped.network.get_parameter(name).grad, whole.network.get_parameter(name).grad)
