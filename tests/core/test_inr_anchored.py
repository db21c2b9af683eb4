from __future__ import annotations

import pytest
import torch
from neumeta_core.coordinates import encode_sizes, width_ratios
from neumeta_core.errors import InvalidField
from neumeta_core.inr import AnchoredINR, AnchoredSettings, Noise
from torch import Tensor

from tests.patched import patched_architecture
from tests.tiny import tiny_architecture


def anchored(seed: int = 0) -> tuple[AnchoredINR, dict[str, Tensor]]:
    torch.manual_seed(seed)
    architecture = tiny_architecture()
    trained = {p.name: torch.randn(p.shape(architecture.full_widths)) for p in architecture.parameters}
    inr = AnchoredINR(architecture, AnchoredSettings(hidden=8, rank=2)).requires_grad_(False)
    inr.start_from(trained)
    return inr, trained


def shaken(inr: AnchoredINR) -> AnchoredINR:
    """As if it were trained: no output is zero any more."""
    generator = torch.Generator().manual_seed(1)
    for block in inr.blocks:
        block.from_out.out.weight.copy_(0.3 * torch.randn(block.from_out.out.weight.shape, generator=generator))
    return inr


@pytest.mark.parametrize(("one", "two"), [(8, 12), (5, 7), (2, 3), (1, 1)])
def test_the_start_reproduces_prefixes_of_the_trained_network(one: int, two: int) -> None:
    inr, trained = anchored()
    made = inr({"conv1": one, "conv2": two})
    assert torch.equal(made["conv1.weight"], trained["conv1.weight"][:one])
    assert torch.equal(made["conv2.weight"], trained["conv2.weight"][:two, :one])
    assert torch.equal(made["conv2.bias"], trained["conv2.bias"][:two])
    assert torch.equal(made["head.weight"], trained["head.weight"][:, : two * 16])


def test_prefixes_of_transposed_and_concatenated_parameters() -> None:
    architecture = patched_architecture()
    inr = AnchoredINR(architecture, AnchoredSettings(hidden=4, rank=1))
    trained = {p.name: torch.randn(p.shape(architecture.full_widths)) for p in architecture.parameters}
    inr.start_from(trained)
    made = inr({"a": 4, "b": 2})
    assert torch.equal(made["up.weight"], trained["up.weight"][:4, :2])
    assert torch.equal(made["mix.weight"], trained["mix.weight"][:2, [0, 1, 5, 6, 7, 8]])


def test_a_block_is_its_formula() -> None:
    inr, trained = anchored()
    shaken(inr)
    widths = {"conv1": 5, "conv2": 7}
    block = inr.blocks[2]
    conditions = encode_sizes(width_ratios(inr.architecture, widths))
    row = block.from_out(7, conditions, None)
    right = block.from_in(5, conditions, None).reshape(5, 2, 9)
    spread = trained["conv2.weight"].square().mean().sqrt()
    for o in range(7):
        for i in range(5):
            correction = sum(row[o, 1 + r] * right[i, r] for r in range(2))
            expected = trained["conv2.weight"][o, i].flatten() * row[o, 0].exp() + spread * correction
            assert torch.allclose(inr(widths)["conv2.weight"][o, i].flatten(), expected, atol=1e-5)


def test_weights_depend_on_every_width_of_the_configuration() -> None:
    inr = shaken(anchored()[0])
    one, other = inr({"conv1": 5, "conv2": 12}), inr({"conv1": 5, "conv2": 6})
    assert not torch.allclose(one["conv1.weight"], other["conv1.weight"], atol=1e-4)


def test_noise_moves_weights_and_leaves_biases_alone() -> None:
    inr, widths = shaken(anchored()[0]), {"conv1": 5, "conv2": 7}
    clean, noisy = inr(widths), inr(widths, Noise(0.5, torch.Generator().manual_seed(0)))
    for name in clean:
        assert torch.equal(clean[name], noisy[name]) == name.endswith("bias")


def test_there_is_nothing_beyond_the_anchor() -> None:
    with pytest.raises(InvalidField) as refused:
        anchored()[0]({"conv1": 9, "conv2": 7})
    assert (refused.value.field, refused.value.value) == ("widths.conv1", 9)
    assert refused.value.expected.startswith("at most 8")


def test_anchors_are_counted_as_plain_weights() -> None:
    inr, trained = anchored()
    total = sum(tensor.numel() for tensor in inr.state_dict().values())
    assert inr.coordinate_parameters() == total - sum(values.numel() for values in trained.values())
