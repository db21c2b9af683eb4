"""Anchored INRs whose rows are scaled by a network of the sizes."""

from __future__ import annotations

import pytest
import torch
from neumeta_core.configuration import Configuration
from neumeta_core.inr import AnchoredINR, AnchoredSettings, Sampling
from neumeta_core.inr.moments import mean
from neumeta_core.materialize import prepare
from pydantic import ValidationError
from torch import Tensor

from tests.tiny import tiny_architecture

ARCHITECTURE = tiny_architecture()
LEVELS = (0.75, 0.5)
MEMBER = Configuration((("conv1", 3), ("conv2", 11)))


def started(*, exact: bool = True, scales: int = 4) -> tuple[AnchoredINR, dict[str, Tensor]]:
    """An INR whose other networks make nothing, and the moments of what flows into its second layer at the last level."""
    torch.manual_seed(0)
    inr = AnchoredINR(ARCHITECTURE, AnchoredSettings(hidden=8, rank=2, levels=LEVELS, moments=True, exact=exact, scales=scales)).requires_grad_(False)
    members = [{p.name: torch.randn(p.shape(widths)) for p in ARCHITECTURE.parameters} for widths in (ARCHITECTURE.full_widths, *inr.levels)]
    moments = [{"conv2.weight": 0.5 + torch.rand(3, weights["conv2.weight"].shape[1])} for weights in members]
    inr.start_from(*members)
    inr.take_moments(*moments)
    return inr, moments[2]


def scaled(inr: AnchoredINR, logs: Tensor) -> None:
    """Let all rows be scaled like this, whatever the sizes are."""
    assert inr.row_scales is not None
    inr.row_scales.out.bias.copy_(logs)


def test_every_row_of_every_weight_with_moments_has_a_scale_of_its_own() -> None:
    inr, _ = started()
    before = inr(MEMBER)
    logs = torch.linspace(-1, 1, 8 + 12)
    scaled(inr, logs)
    after = inr(MEMBER)
    for name, rows in (("conv1.weight", logs[:3]), ("conv2.weight", logs[8:19])):
        assert torch.allclose(after[name], before[name] * rows.exp().view(-1, 1, 1, 1), rtol=1e-5), name
    assert torch.equal(after["head.weight"], before["head.weight"])


def test_the_mean_of_the_outputs_stays() -> None:
    inr, moments = started()
    known, narrow = moments["conv2.weight"][:, :3], Configuration((("conv1", 3), ("conv2", 5)))
    before = inr(narrow)
    scaled(inr, torch.linspace(-1, 1, 8 + 12))
    after = inr(narrow)
    means = [mean(made["conv2.weight"].flatten(2), known) + made["conv2.bias"] for made in (before, after)]
    assert torch.allclose(*means, atol=1e-4)
    assert not torch.allclose(before["conv2.bias"], after["conv2.bias"], atol=1e-2)


def test_they_follow_the_sizes() -> None:
    inr, _ = started(exact=False)
    assert inr.row_scales is not None
    inr.row_scales.out.weight.normal_(std=10)
    other, plain = Configuration((("conv1", 8), ("conv2", 11))), started(exact=False)[0]
    one, two = ((inr(member)["conv2.weight"] / plain(member)["conv2.weight"]).mean((1, 2, 3)).log() for member in (MEMBER, other))
    assert float((one - two).abs().max()) > 0.1


@pytest.mark.parametrize("widths", [(8, 12), (6, 9), (4, 6)])
def test_exact_members_are_not_scaled(widths: tuple[int, int]) -> None:
    member = Configuration(tuple(zip(("conv1", "conv2"), widths, strict=True)))
    inr, _ = started()
    wanted = inr(member)
    for logs in (torch.ones(20), torch.full((20,), torch.nan)):
        scaled(inr, logs)
        for name, values in prepare(inr, Sampling())(member).items():
            assert torch.allclose(values, wanted[name], rtol=1e-5, atol=1e-5), name


def test_near_to_them_scales_fade_in() -> None:
    inr, _ = started()
    plain = inr(near := Configuration((("conv1", 8), ("conv2", 11))))["conv2.weight"]
    scaled(inr, torch.ones(20))
    assert torch.allclose(inr(near)["conv2.weight"], plain * torch.tensor(inr.gates(near)[-1]).exp(), rtol=1e-5)


def test_they_count_to_the_coordinate_networks() -> None:
    without, within = started(scales=0)[0], started(scales=4)[0]
    conditions = 3 * 2
    assert within.coordinate_parameters() - without.coordinate_parameters() == (conditions + 1) * 4 + 5 * 4 + 5 * 20


def test_without_moments_they_are_refused() -> None:
    with pytest.raises(ValidationError, match="scales need moments"):
        AnchoredSettings(levels=LEVELS, scales=4)
