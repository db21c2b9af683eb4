"""Anchored INRs whose networks leave the full network and the members of the levels alone."""

from __future__ import annotations

import pytest
import torch
from neumeta_core.configuration import Configuration
from neumeta_core.inr import AnchoredINR, AnchoredSettings, Sampling
from neumeta_core.materialize import prepare

from tests.tiny import tiny_architecture

LEVELS = (0.75, 0.5)
ARCHITECTURE = tiny_architecture()
FULL = {"conv1": 8, "conv2": 12}


def trained(*, exact: bool = True, moments: bool = True) -> tuple[AnchoredINR, list[dict[str, torch.Tensor]]]:
    """An INR none of whose networks makes zeros, and the weights of the full network and the levels that it started from."""
    torch.manual_seed(0)
    inr = AnchoredINR(ARCHITECTURE, AnchoredSettings(hidden=8, rank=2, levels=LEVELS, moments=moments, exact=exact))
    members = [{p.name: torch.randn(p.shape(widths)) for p in ARCHITECTURE.parameters} for widths in (FULL, *inr.levels)]
    inr.start_from(*members)
    if moments:
        inr.take_moments(*({"conv2.weight": 0.5 + torch.rand(3, weights["conv2.weight"].shape[1])} for weights in members))
    with torch.no_grad():
        for block in inr.blocks:
            block.from_out.out.weight.normal_(std=0.3)
    return inr, members


def at(one: int, two: int) -> Configuration:
    return Configuration((("conv1", one), ("conv2", two)))


def untrained() -> AnchoredINR:
    """With the same anchors and nothing else."""
    inr = trained(exact=False, moments=False)[0]
    with torch.no_grad():
        for block in inr.blocks:
            block.from_out.out.weight.zero_()
    return inr


@pytest.mark.parametrize("moments", [True, False])
@pytest.mark.parametrize(("widths", "which"), [((8, 12), 0), ((6, 9), 1), ((4, 6), 2)])
def test_the_full_network_and_the_levels_are_what_was_trained_whatever_the_networks_make(widths: tuple[int, int], which: int, moments: bool) -> None:
    made, free = trained(moments=moments)[0](at(*widths)), trained(exact=False, moments=moments)[0](at(*widths))
    for name, values in trained(moments=moments)[1][which].items():
        assert torch.allclose(made[name], values, atol=1e-5), name
        assert not torch.allclose(free[name], values, atol=1e-2), name


@pytest.mark.parametrize("moments", [True, False])
@pytest.mark.parametrize("member", [at(8, 12), at(6, 9), at(4, 6)])
def test_prepared_they_are_the_sums_of_their_anchors_to_the_bit(member: Configuration, moments: bool) -> None:
    inr, wanted = trained(moments=moments)[0], untrained()(member)
    with torch.no_grad():
        for block in inr.blocks:
            block.from_out.out.weight.fill_(torch.nan)
    materialize = prepare(inr, Sampling())
    for name, values in materialize(member).items():
        assert torch.equal(values, wanted[name]), name
        values.zero_()
    for name, values in materialize(member).items():
        assert torch.equal(values, wanted[name]), f"{name}: what was handed out was the INR's own"


def test_far_from_them_networks_count_in_full() -> None:
    exact, free = trained()[0], trained(exact=False)[0]
    for member in (at(2, 3), at(8, 3), at(3, 12)):
        for name, values in free(member).items():
            assert torch.equal(exact(member)[name], values), (member, name)


def test_near_to_them_networks_count_by_the_mean_distance_of_width_ratios() -> None:
    inr = trained()[0]
    assert inr.gates(at(8, 11)) == pytest.approx([(1 / 12) / 2 / 0.25, 0, 8 * (1 / 12) / 2])
    assert inr.gates(at(7, 9)) == pytest.approx([1 - (1 / 8) / 2 / 0.25, 0, 8 * (1 / 8) / 2])
    # As wide as a level on the mean, but of other widths.
    assert inr.gates(at(4, 12)) == pytest.approx([1, 0, 1])
    assert trained(exact=False)[0].gates(at(8, 12)) == [0, 0, 1]


def test_what_the_networks_make_fades_in_from_zero() -> None:
    inr, plain = trained(moments=False)[0], untrained()
    bias = [float((inr(at(8, width))["conv2.bias"] - plain(at(8, width))["conv2.bias"])[0].abs().detach()) for width in (12, 11, 10)]
    assert bias[0] == 0 < bias[1] < bias[2]


def test_anchors_are_not_trained() -> None:
    inr = trained()[0]
    learned = {name for name, parameter in inr.named_parameters() if parameter.requires_grad}
    assert learned == {name for name, _ in inr.named_parameters() if "anchor" not in name}
    assert len(learned) < len(list(inr.parameters()))
