"""Anchored blocks that keep the mean and spread of what they add to their layer's outputs."""

from __future__ import annotations

import math

import pytest
import torch
from neumeta_core.architecture import Architecture, ChannelGroup, GeneratedParameter, Segment
from neumeta_core.blocks import bias_blocks
from neumeta_core.configuration import Configuration
from neumeta_core.coordinates import width_ratios
from neumeta_core.inr import AnchoredINR, AnchoredSettings
from neumeta_core.inr.moments import log_spread, mean
from neumeta_core.levels import level_gates
from neumeta_core.materialize.padded import PaddedProducts
from neumeta_core.materialize.products import ChannelProducts
from torch import Tensor

from tests.concatenated import concatenated_architecture
from tests.tiny import fixed, group

LEVELS = (0.75, 0.5)
FULL = {"a": 8, "b": 12}


def random_moments(channels: int) -> Tensor:
    return torch.stack([torch.randn(channels), *(0.2 + torch.rand(2, channels))])


def trained(levels: tuple[float, ...] = LEVELS, *, shaken: bool = False) -> tuple[AnchoredINR, list[dict[str, Tensor]], list[dict[str, Tensor]]]:
    """An INR, the weights of its members and the moments of their inputs; ``shaken``: no output of its networks is zero."""
    torch.manual_seed(0)
    inr = AnchoredINR(concatenated_architecture(), AnchoredSettings(hidden=8, rank=2, levels=levels, moments=True)).requires_grad_(False)
    members = [FULL, *inr.levels]
    weights = [{p.name: torch.randn(p.shape(widths)) for p in inr.architecture.parameters} for widths in members]
    moments = [{"mix.weight": random_moments(m["a"] + m["b"] + 2), "next.weight": random_moments(m["a"])} for m in members]
    inr.start_from(*weights)
    inr.take_moments(*moments)
    if shaken:
        for block in inr.blocks:
            block.from_out.out.weight.normal_(std=0.2)
    return inr, weights, moments


def test_mean_and_spread_are_those_of_outputs_over_independent_channels() -> None:
    torch.manual_seed(0)
    values, moments = torch.randn(5, 4, 9), random_moments(4)
    means, own, common = moments.double()
    covariance = torch.block_diag(*(v**2 * torch.eye(9).double() + c**2 for v, c in zip(own, common, strict=True)))
    rows = values.double().flatten(1)
    assert torch.allclose(mean(values, moments).double(), rows @ means.repeat_interleave(9), rtol=1e-5)
    assert torch.allclose(log_spread(values, moments).double().exp(), (rows @ covariance * rows).sum(1).sqrt(), rtol=1e-5)


@pytest.mark.parametrize(("widths", "which"), [((8, 12), 0), ((6, 9), 1), ((4, 6), 2)])
def test_the_members_of_levels_are_what_was_trained(widths: tuple[int, int], which: int) -> None:
    inr, weights, _ = trained()
    made = inr(dict(zip("ab", widths, strict=True)))
    for name, values in weights[which].items():
        assert torch.allclose(made[name], values, atol=1e-5), name


def outputs_of(weights: dict[str, Tensor], moments: Tensor, repeat: int = 4) -> tuple[Tensor, Tensor]:
    """Mean and spread of the layer ``next``."""
    values = weights["next.weight"].unflatten(1, (-1, repeat))
    return mean(values, moments) + weights["next.bias"], log_spread(values, moments).exp()


def test_between_two_levels_outputs_have_a_mean_and_spread_between_theirs() -> None:
    inr, weights, moments = trained()
    here = {"a": 7, "b": 10}
    upper, lower, opened = moments[0]["next.weight"][:, :7].clone(), moments[1]["next.weight"], level_gates(inr.architecture, inr.levels, here)[0]
    assert 0 < opened < 1
    blended = upper.clone()
    blended[:, :6] += opened * (lower - upper[:, :6])
    found, spread = outputs_of(inr(here), blended)
    means, spreads = zip(*(outputs_of(weights[k], moments[k]["next.weight"]) for k in (0, 1)), strict=True)
    assert torch.allclose(found[:9], torch.lerp(means[0][:9], means[1], opened), atol=1e-4)
    assert torch.allclose(spread[:9].log(), torch.lerp(spreads[0][:9].log(), spreads[1].log(), opened), atol=1e-4)
    # The tenth channel is not in the level below.
    assert torch.allclose(found[9], means[0][9], atol=1e-4)
    assert torch.allclose(spread[9], spreads[0][9], rtol=1e-4)


def test_without_levels_a_prefix_keeps_the_mean_and_spread_of_the_whole() -> None:
    inr, (full,), (moments,) = trained(())
    found, spread = outputs_of(inr({"a": 5, "b": 12}), moments["next.weight"][:, :5])
    whole, whole_spread = outputs_of(full, moments["next.weight"])
    assert torch.allclose(found, whole, atol=1e-4)
    assert torch.allclose(spread, whole_spread, rtol=1e-4)


def test_where_inputs_were_not_measured_nothing_is_corrected() -> None:
    torch.manual_seed(0)
    plain, blind = (AnchoredINR(concatenated_architecture(), AnchoredSettings(hidden=8, rank=2, levels=LEVELS, moments=yes)) for yes in (False, True))
    weights = trained()[1]
    for inr in (plain, blind):
        inr.start_from(*weights)
    for member in members():
        made, wanted = blind(member), plain(member)
        assert all(torch.allclose(made[name], wanted[name], atol=1e-5) for name in wanted), member


@pytest.mark.parametrize("quiet", [1e-2, 1e-3, 1e-5])
def test_levels_are_exact_where_their_inputs_are_far_quieter(quiet: float) -> None:
    inr, weights, moments = trained()
    factors = (1.0, quiet, quiet**1.5)
    inr.take_moments(*({name: factor * values for name, values in each.items()} for factor, each in zip(factors, moments, strict=True)))
    for which, widths in enumerate((FULL, *inr.levels)):
        made = inr(widths)
        assert all(torch.allclose(made[name], values, atol=1e-4) for name, values in weights[which].items()), widths


def renamed(name: str, axis: tuple[Segment, ...]) -> Architecture:
    """With another bias of the layer ``next``."""
    whole = concatenated_architecture()
    bias = GeneratedParameter(name=name, axes=(axis,), macs_per_element=0)
    return whole.model_copy(update={"parameters": tuple(bias if p.name == "next.bias" else p for p in whole.parameters)})


@pytest.mark.parametrize(
    ("name", "axis"), [("next.scale", group("b")), ("next.bias", group("a")), ("next.bias", fixed(12)), ("next.bias", group("b", 2))]
)
def test_what_is_no_bias_of_the_layers_outputs_is_left_alone(name: str, axis: tuple[Segment, ...]) -> None:
    other = renamed(name, axis)
    assert bias_blocks(concatenated_architecture())["next.weight[0,0]"] == "next.bias[0,0]"
    assert not any(block.startswith("next") for block in bias_blocks(other))
    inr = AnchoredINR(other, AnchoredSettings(hidden=8, rank=2, levels=LEVELS, moments=True))
    made = inr({"a": 5, "b": 7})
    assert {each: values.shape for each, values in made.items()} == {p.name: p.shape({"a": 5, "b": 7}) for p in other.parameters}


def test_a_layer_without_a_bias_stays_a_prefix() -> None:
    inr, (full,), _ = trained(())
    assert torch.equal(inr({"a": 5, "b": 7})["head.weight"], full["head.weight"][:, :7])


def test_rows_with_all_but_dead_inputs_grow_no_more_than_fourfold() -> None:
    inr, (full,), (moments,) = trained(())
    dead = torch.full((3, 8), 1e-4)
    dead[:, 7] = 1.0
    inr.take_moments(moments | {"next.weight": dead})
    made = inr({"a": 7, "b": 12})["next.weight"]
    assert torch.allclose(made, 4 * full["next.weight"][:, :28], rtol=1e-5)


def test_rows_with_inputs_that_wake_up_shrink_to_no_less_than_a_quarter() -> None:
    inr, weights, moments = trained((0.5,))
    silent = {name: torch.full_like(values, 1e-4) for name, values in moments[0].items()}
    inr.take_moments(silent, {name: torch.full_like(values, 1e-4) for name, values in moments[1].items()})
    block = next(module for module, described in zip(inr.blocks, inr.layout, strict=True) if described.parameter.name == "next.weight")
    block.level_anchors[0].mul_(1000)
    here = {"a": 8, "b": 11}  # far nearer to the full network than to the level
    gate = level_gates(inr.architecture, inr.levels, here)[0]
    blend = weights[0]["next.weight"][:11].clone()
    blend[:6, :16] += gate * block.level_anchors[0].flatten(1)
    assert torch.allclose(inr(here)["next.weight"][:6], blend[:6] / 4, rtol=1e-4)


def test_the_bias_makes_up_for_what_the_networks_do_to_the_mean() -> None:
    inr, weights, moments = trained()
    before = outputs_of(inr({"a": 4, "b": 6}), moments[2]["next.weight"])[0]
    block = next(module for module, described in zip(inr.blocks, inr.layout, strict=True) if described.parameter.name == "next.weight")
    block.from_out.out.weight.normal_(std=0.3)
    made = inr({"a": 4, "b": 6})
    assert not torch.allclose(made["next.weight"], weights[2]["next.weight"], atol=1e-2)
    assert torch.allclose(outputs_of(made, moments[2]["next.weight"])[0], before, atol=1e-4)


def members() -> list[Configuration]:
    return [Configuration((("a", a), ("b", b))) for a, b in ((8, 12), (7, 9), (6, 9), (3, 12), (8, 5), (2, 3))]


def error(made: Tensor, wanted: Tensor) -> float:
    return float((made - wanted).norm() / wanted.norm())


def test_the_fast_path_makes_the_same() -> None:
    inr = trained(shaken=True)[0]
    products = ChannelProducts(inr, None)
    for member in members():
        made, wanted = products(member), inr.make_blocks(member, None)
        assert made.keys() == wanted.keys()
        for name, values in wanted.items():
            assert error(made[name], values) < 1e-5, (member, name)


@pytest.mark.parametrize("levels", [(), LEVELS])
@pytest.mark.parametrize("frozen", [False, True])
def test_several_at_full_extents_are_the_same(frozen: bool, levels: tuple[float, ...]) -> None:
    inr = trained(levels, shaken=True)[0]
    ratios = torch.stack([width_ratios(inr.architecture, member) for member in members()])
    opened = torch.tensor([inr.gates(member) for member in members()])
    made = PaddedProducts(inr, frozen=frozen)(ratios, opened)
    for k, member in enumerate(members()):
        wanted = inr(member)
        assert error(made["next.weight"][k, : member["b"], : 4 * member["a"]], wanted["next.weight"]) < 1e-5
        assert error(made["mix.bias"][k, : member["a"]], wanted["mix.bias"]) < 1e-5


def test_moments_are_measured_and_not_counted_to_the_networks() -> None:
    plain = AnchoredINR(concatenated_architecture(), AnchoredSettings(hidden=8, rank=2, levels=LEVELS))
    inr = trained()[0]
    assert inr.coordinate_parameters() == plain.coordinate_parameters()
    assert not any("moments" in name for name, _ in inr.named_parameters())


def test_gradients_are_finite_everywhere() -> None:
    inr = trained()[0].requires_grad_(True)
    for member in members():
        total = torch.stack([values.square().sum() for values in inr(member).values()]).sum()
        assert all(math.isfinite(float(gradient.sum())) for gradient in torch.autograd.grad(total, list(inr.parameters())))


def test_blocks_that_are_made_together_have_input_channels_of_their_own() -> None:
    layers = [
        (
            GeneratedParameter(name=f"{name}.weight", axes=(group(name), group(inputs)), in_dim=1, macs_per_element=1),
            GeneratedParameter(name=f"{name}.bias", axes=(group(name),), macs_per_element=0),
        )
        for name, inputs in (("a", "b"), ("b", "a"))
    ]
    groups = tuple(ChannelGroup(name=name, full=8, minimum=2) for name in "ab")
    torch.manual_seed(0)
    alike = Architecture(groups=groups, parameters=tuple(parameter for layer in layers for parameter in layer), max_compression=0.75)
    inr = AnchoredINR(alike, AnchoredSettings(hidden=8, rank=2, moments=True)).requires_grad_(False)
    inr.start_from({p.name: torch.randn(p.shape(alike.full_widths)) for p in alike.parameters})
    inr.take_moments({"a.weight": random_moments(8), "b.weight": random_moments(8)})
    member = Configuration((("a", 3), ("b", 7)))
    made, wanted = ChannelProducts(inr, None)(member), inr.make_blocks(member, None)
    for name, values in wanted.items():
        assert error(made[name], values) < 1e-5, name
