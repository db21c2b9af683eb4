"""What holds for every INR kind."""

from __future__ import annotations

import pytest
import torch
from neumeta_core.inr import INR, AnchoredINR, AnchoredSettings, FactorisedINR, FactorisedSettings, InrSettings, MlpINR, MlpSettings, build_inr

from tests import patched, tiny

KINDS: dict[str, InrSettings] = {
    "mlp": MlpSettings(layers=3, hidden=16),
    "mlp, relative": MlpSettings(layers=2, hidden=16, positions="relative"),
    "anchored": AnchoredSettings(hidden=8, rank=3),
    "anchored with levels": AnchoredSettings(hidden=8, rank=3, levels=(0.75, 0.4)),
    "anchored with moments": AnchoredSettings(hidden=8, rank=3, levels=(0.75, 0.4), moments=True),
    "anchored, exact": AnchoredSettings(hidden=8, rank=3, levels=(0.75, 0.4), moments=True, exact=True),
    "anchored with scales": AnchoredSettings(hidden=8, rank=3, levels=(0.75, 0.4), moments=True, exact=True, scales=6),
    "factorised": FactorisedSettings(hidden=16, rank=3),
}
FAMILIES = {"tiny": tiny.tiny_architecture(), "patched": patched.patched_architecture()}


def built(kind: str, family: str = "tiny") -> INR:
    torch.manual_seed(0)
    return build_inr(FAMILIES[family], KINDS[kind])


def test_settings_name_the_kind() -> None:
    assert isinstance(built("mlp"), MlpINR)
    assert isinstance(built("anchored"), AnchoredINR)
    assert isinstance(built("factorised"), FactorisedINR)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_shapes_and_finite_values_at_every_width(kind: str, family: str) -> None:
    inr, architecture = built(kind, family), FAMILIES[family]
    (first, widest), (second, full) = architecture.full_widths.items()
    for one in range(1, widest + 1):
        widths = {first: one, second: 1 + one * (full - 1) // widest}
        made = inr(widths)
        assert list(made) == [parameter.name for parameter in architecture.parameters]
        for parameter in architecture.parameters:
            assert made[parameter.name].shape == parameter.shape(widths)
            assert made[parameter.name].isfinite().all()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_contiguous_values_have_the_strides_of_their_shape(kind: str, family: str) -> None:
    # With others, which axes of one value allow, a convolution's backward pass may write beyond its memory (pytorch/pytorch#195394).
    inr, full = built(kind, family), FAMILIES[family].full_widths
    for widths in (full, {group: 1 + width // 2 for group, width in full.items()}, dict.fromkeys(full, 1)):
        strides = {name: values.stride() for name, values in inr(widths).items() if values.is_contiguous()}
        assert strides == {name: torch.empty(values.shape).stride() for name, values in inr(widths).items() if name in strides}


@pytest.mark.parametrize("kind", ["mlp", "mlp, relative", "factorised"])
def test_widths_above_full_extrapolate(kind: str) -> None:
    made = built(kind)({"conv1": 11, "conv2": 17})
    assert made["conv2.weight"].shape == (17, 11, 3, 3)
    assert all(values.isfinite().all() for values in made.values())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_every_parameter(kind: str, family: str) -> None:
    inr, architecture = built(kind, family), FAMILIES[family]
    inr.start_from({p.name: torch.randn(p.shape(architecture.full_widths)) for p in architecture.parameters})
    narrow = {group.name: group.minimum for group in architecture.groups}  # all levels are open
    target = {p.name: torch.randn(p.shape(narrow)) for p in architecture.parameters}
    parameters = {name: parameter for name, parameter in inr.named_parameters() if parameter.requires_grad}
    # Outputs that start at zero hide what lies behind them from the first gradient, not from the second.
    for _ in range(2):
        loss = sum((values - target[name]).square().mean() for name, values in inr(narrow).items())
        gradients = dict(zip(parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True))
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter -= 0.01 * gradients[name]
    assert [name for name, gradient in gradients.items() if not gradient.any()] == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_state_is_all_there_is(kind: str) -> None:
    inr, copy = built(kind), build_inr(FAMILIES["tiny"], KINDS[kind])
    inr.start_from({p.name: torch.randn(p.shape(FAMILIES["tiny"].full_widths)) for p in FAMILIES["tiny"].parameters})
    copy.load_state_dict(inr.state_dict())
    for name, values in inr({"conv1": 3, "conv2": 8}).items():
        assert torch.equal(values, copy({"conv1": 3, "conv2": 8})[name])
