from __future__ import annotations

import pytest
import torch
from neumeta_core.coordinates import encode_sizes, width_ratios
from neumeta_core.inr import FactorisedINR, FactorisedSettings
from torch import Tensor

from tests.patched import patched_architecture
from tests.tiny import tiny_architecture


def factorised(rank: int = 64, hidden: int = 32) -> tuple[FactorisedINR, dict[str, Tensor]]:
    torch.manual_seed(0)
    architecture = tiny_architecture()
    trained = {p.name: torch.randn(p.shape(architecture.full_widths)) for p in architecture.parameters}
    inr = FactorisedINR(architecture, FactorisedSettings(hidden=hidden, rank=rank)).requires_grad_(False)
    inr.start_from(trained)
    return inr, trained


@pytest.mark.parametrize(("one", "two"), [(8, 12), (5, 7), (1, 1)])
def test_the_start_reproduces_prefixes_of_the_trained_network(one: int, two: int) -> None:
    inr, trained = factorised()
    made = inr({"conv1": one, "conv2": two})
    for name, wanted in {
        "conv1.weight": trained["conv1.weight"][:one],
        "conv2.weight": trained["conv2.weight"][:two, :one],
        "conv2.bias": trained["conv2.bias"][:two],
        "head.weight": trained["head.weight"][:, : two * 16],
    }.items():
        # A prefix may be small by chance; the whole parameter says what small is.
        assert (made[name] - wanted).abs().max() < 0.05 * trained[name].abs().max(), name


def test_transposed_and_concatenated_parameters_start_from_the_trained_network() -> None:
    architecture = patched_architecture()
    torch.manual_seed(0)
    inr = FactorisedINR(architecture, FactorisedSettings(hidden=32, rank=64)).requires_grad_(False)
    trained = {p.name: torch.randn(p.shape(architecture.full_widths)) for p in architecture.parameters}
    inr.start_from(trained)
    made = inr(architecture.full_widths)
    for name, wanted in trained.items():
        assert (made[name] - wanted).abs().max() < 0.05 * wanted.abs().max(), name


def test_a_small_rank_starts_from_the_best_approximation_of_that_rank() -> None:
    inr, trained = factorised(rank=2)
    matrix = trained["conv2.weight"].flatten(2).flatten(1)
    left, spectrum, right = torch.linalg.svd(matrix, full_matrices=False)
    best = ((left[:, :2] * spectrum[:2]) @ right[:2]).view_as(trained["conv2.weight"])
    made = inr(inr.architecture.full_widths)["conv2.weight"]
    assert (made - best).norm() < 0.05 * best.norm()
    assert torch.linalg.matrix_rank(made.flatten(1), rtol=1e-4) == 2


def test_a_block_is_the_product_of_its_two_networks() -> None:
    inr, _ = factorised(rank=3)
    widths = {"conv1": 5, "conv2": 7}
    conditions = encode_sizes(width_ratios(inr.architecture, widths))
    block = inr.blocks[2]
    left, right = block.from_out(7, conditions, None), block.from_in(5, conditions, None).reshape(5, 3, 9)
    made = inr(widths)["conv2.weight"].flatten(2)
    for o in range(7):
        for i in range(5):
            assert torch.allclose(made[o, i], sum(left[o, r] * right[i, r] for r in range(3)), atol=1e-5)


def test_nothing_is_stored_but_coordinate_networks() -> None:
    inr, _ = factorised()
    assert (
        inr.coordinate_parameters() == sum(parameter.numel() for parameter in inr.parameters()) == sum(v.numel() for v in inr.state_dict().values())
    )


def test_few_channels_take_few_hidden_units_and_a_small_rank() -> None:
    inr, _ = factorised(rank=64, hidden=64)
    first = inr.blocks[0]  # conv1.weight: 8 output channels, one input channel
    assert first.rank == 8
    assert first.from_out.out.in_features == 16
