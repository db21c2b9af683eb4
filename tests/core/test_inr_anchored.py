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


def leveled() -> tuple[AnchoredINR, list[dict[str, Tensor]]]:
    """With weights for the full network and for the members at 0.75 and 0.5."""
    torch.manual_seed(0)
    architecture = tiny_architecture()
    inr = AnchoredINR(architecture, AnchoredSettings(hidden=8, rank=2, levels=(0.75, 0.5))).requires_grad_(False)
    trained = [{p.name: torch.randn(p.shape(widths)) for p in architecture.parameters} for widths in (architecture.full_widths, *inr.levels)]
    inr.start_from(*trained)
    return inr, trained


@pytest.mark.parametrize(("widths", "which"), [((8, 12), 0), ((6, 9), 1), ((4, 6), 2)])
def test_at_a_level_the_start_reproduces_the_weights_trained_for_it(widths: tuple[int, int], which: int) -> None:
    inr, trained = leveled()
    made = inr(dict(zip(("conv1", "conv2"), widths, strict=True)))
    for name, values in trained[which].items():
        assert torch.allclose(made[name], values, atol=1e-6)


def test_below_the_last_level_the_start_is_a_prefix_of_it() -> None:
    inr, trained = leveled()
    assert torch.allclose(inr({"conv1": 2, "conv2": 3})["conv2.weight"], trained[2]["conv2.weight"][:3, :2], atol=1e-6)


def test_between_two_levels_the_start_blends_them() -> None:
    inr, (full, upper, _) = leveled()
    made = inr({"conv1": 8, "conv2": 9})["conv2.weight"]  # mean ratio 0.875: half way
    padded = torch.zeros(9, 8, 3, 3)
    padded[:, :6] = upper["conv2.weight"] - full["conv2.weight"][:9, :6]
    assert torch.allclose(made, full["conv2.weight"][:9] + 0.5 * padded, atol=1e-6)


def test_without_weights_for_them_levels_add_nothing() -> None:
    torch.manual_seed(0)
    inr = AnchoredINR(tiny_architecture(), AnchoredSettings(hidden=8, rank=2, levels=(0.5,)))
    inr.start_from(anchored()[1])
    assert torch.equal(inr({"conv1": 4, "conv2": 6})["conv2.weight"], anchored()[1]["conv2.weight"][:6, :4])


def test_every_level_needs_its_weights() -> None:
    inr, trained = leveled()
    with pytest.raises(ValueError, match="shorter"):
        inr.start_from(*trained[:2])


def test_a_closed_level_takes_part_in_training_without_a_gradient() -> None:
    inr = leveled()[0].requires_grad_(True)
    made = inr({"conv1": 8, "conv2": 12})["conv2.weight"]
    anchors = list(inr.blocks[2].level_anchors)
    assert [bool(gradient.any()) for gradient in torch.autograd.grad(made.sum(), [inr.blocks[2].anchor, *anchors])] == [True, False, False]


@pytest.mark.parametrize("levels", [(0.5, 0.75), (0.5, 0.5), (1.0,), (0.0,), (float("nan"),), (0.9,) * 17])
def test_levels_that_make_no_sense_are_refused(levels: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="levels"):
        AnchoredSettings(levels=levels)


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
    inr, trained = leveled()
    total = sum(tensor.numel() for tensor in inr.state_dict().values())
    assert inr.coordinate_parameters() == total - sum(values.numel() for member in trained for values in member.values())
