"""Similarity of networks, by hand and by what must not matter."""

from __future__ import annotations

import math

import pytest
import torch
from neumeta_trainer.analyses.similarity import compare, divergence, linear_cka, outputs_and_activations
from neumeta_trainer.errors import AnalysisRefused
from torch import Tensor, nn


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def network(width: int, seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(1, width, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(width * 4, 3))


def test_activations_are_like_themselves_turned_and_scaled() -> None:
    activations = drawn(40, 6)
    rotation, _ = torch.linalg.qr(drawn(6, 6, seed=1).double())
    assert linear_cka(activations, activations) == pytest.approx(1, abs=1e-12)
    assert linear_cka(activations, 0.01 * activations.double() @ rotation + 3) == pytest.approx(1, abs=1e-12)
    other = drawn(40, 9, seed=2)
    similar = linear_cka(activations, other)
    assert 0 < similar < 0.9
    assert linear_cka(5 * activations.double() @ rotation, other) == pytest.approx(similar, abs=1e-12)
    assert linear_cka(other, activations) == pytest.approx(similar, abs=1e-12)


def test_scaling_one_feature_alone_matters() -> None:
    activations = drawn(40, 2)
    assert linear_cka(activations, activations * torch.tensor([1.0, 10.0])) < 0.99


def test_a_known_alignment() -> None:
    # Centred, the first is the vector a and the second has the columns a and b, which are orthogonal and equally long:
    # |Y'X|^2 = |a|^4, |X'X| = |a|^2, |Y'Y| = sqrt(2) |a|^2.
    a, b = torch.tensor([1.0, -1.0, 1.0, -1.0]), torch.tensor([1.0, 1.0, -1.0, -1.0])
    assert linear_cka(a[:, None] + 7, torch.stack([a, b], 1)) == pytest.approx(1 / math.sqrt(2), abs=1e-12)
    assert linear_cka(a[:, None], b[:, None]) == pytest.approx(0, abs=1e-12)


def test_the_same_for_all_inputs_has_no_alignment() -> None:
    assert math.isnan(linear_cka(torch.full((5, 3), 0.1), drawn(5, 3)))


def test_a_known_divergence() -> None:
    even, odd = torch.tensor([[0.0, 0.0]]), torch.tensor([[math.log(3.0), 0.0]])  # (1/2, 1/2) and (3/4, 1/4)
    assert divergence(odd, odd) == pytest.approx(0, abs=1e-12)
    assert divergence(even, odd) == pytest.approx(0.5 * math.log(2 / 3) + 0.5 * math.log(2), rel=1e-6)
    assert divergence(odd, even) == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5), rel=1e-6)
    assert divergence(odd, odd + 5) == pytest.approx(0, abs=1e-12)
    assert divergence(torch.cat([even, even]), torch.cat([odd, even])) == pytest.approx(divergence(even, odd) / 2, rel=1e-9)


def test_all_pairs_of_networks_of_different_width() -> None:
    inputs = drawn(300, 1, 4, 4)
    tables = compare([("narrow", network(2)), ("wide", network(5)), ("again", network(5))], inputs)
    for row in range(3):
        assert tables["cka"][row][row] == pytest.approx(1)
        assert tables["kl"][row][row] == pytest.approx(0, abs=1e-12)
    assert tables["cka"][1][2] == pytest.approx(1)
    assert tables["cka"][0][1] == pytest.approx(tables["cka"][1][0])
    first, second = (outputs_and_activations(member, inputs) for member in (network(2), network(5)))
    assert tables["cka"][0][1] == pytest.approx(linear_cka(first[1], second[1]))
    assert tables["kl"][0][1] == pytest.approx(divergence(first[0], second[0]))
    assert tables["kl"][1][0] == pytest.approx(divergence(second[0], first[0]))


def test_activations_are_what_the_head_reads_or_a_layer_makes() -> None:
    inputs, member = drawn(300, 1, 4, 4), network(2)
    logits, activations = outputs_and_activations(member.train(), inputs)
    with torch.no_grad():
        expected = member.eval()[:3](inputs)
        assert torch.allclose(activations, expected)
        assert torch.allclose(logits, member(inputs))
        assert torch.allclose(outputs_and_activations(member, inputs, "0")[1], member[0](inputs).flatten(1))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in member.modules())
    with pytest.raises(AnalysisRefused, match="no module 'layer9'"):
        outputs_and_activations(member, inputs, "layer9")
