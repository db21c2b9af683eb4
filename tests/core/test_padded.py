"""Several members at full extents against each one alone."""

from __future__ import annotations

import pytest
import torch
from neumeta_core.configuration import Configuration
from neumeta_core.coordinates import width_ratios
from neumeta_core.inr import AnchoredINR, AnchoredSettings, Blur, FactorisedINR, FactorisedSettings, InrSettings
from neumeta_core.manifold import Manifold
from neumeta_core.materialize.padded import PaddedProducts
from torch import Tensor

from tests.core.test_blocks import cropped
from tests.patched import patched_manifold
from tests.tiny import tiny_manifold

KINDS: dict[str, InrSettings] = {
    "anchored": AnchoredSettings(hidden=8, rank=3),
    "anchored with levels": AnchoredSettings(hidden=8, rank=3, levels=(0.75, 0.4)),
    "anchored with moments": AnchoredSettings(hidden=8, rank=3, levels=(0.75, 0.4), moments=True),
    "anchored, exact": AnchoredSettings(hidden=8, rank=3, levels=(0.75, 0.4), moments=True, exact=True),
    "anchored with scales": AnchoredSettings(hidden=8, rank=3, levels=(0.75, 0.4), moments=True, exact=True, scales=6),
    "factorised": FactorisedSettings(hidden=16, rank=3),
}
FAMILIES = {"tiny": tiny_manifold, "patched": patched_manifold}
COMPRESSIONS = (0.0, 0.2, 0.5, 0.75)


def randomised(kind: str, family: str) -> Manifold:
    """All parameters random, so that nothing hides behind a zero."""
    manifold = FAMILIES[family](KINDS[kind])
    torch.manual_seed(4)
    for tensor in manifold.inr.state_dict().values():
        tensor.copy_(torch.randn(tensor.shape) * 0.5)
    return manifold


def inr_of(manifold: Manifold) -> AnchoredINR | FactorisedINR:
    assert isinstance(manifold.inr, AnchoredINR | FactorisedINR)
    return manifold.inr


def together(manifold: Manifold, make: PaddedProducts, members: list[Configuration]) -> list[dict[str, Tensor]]:
    architecture = manifold.architecture
    ratios = torch.stack([width_ratios(architecture, member) for member in members])
    opened = torch.tensor([manifold.inr.gates(member) for member in members])
    made = make(ratios, opened)
    full = architecture.full_widths
    for name, values in made.items():
        assert values.shape == (len(members), *architecture.by_name[name].shape(full))
    parameters = architecture.parameters
    return [{each.name: cropped(each, made[each.name][k], full, member) for each in parameters} for k, member in enumerate(members)]


def members_of(manifold: Manifold) -> list[Configuration]:
    widest = {group.name: group.full for group in manifold.architecture.groups}
    uneven = {group.name: group.minimum if k else group.full for k, group in enumerate(manifold.architecture.groups)}
    return [*(manifold.configure(each) for each in COMPRESSIONS), manifold.configure(widths=widest), manifold.configure(widths=uneven)]


@torch.no_grad()
def relative_error(made: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    assert {name: values.shape for name, values in made.items()} == {name: values.shape for name, values in expected.items()}
    whole, wanted = (torch.cat([weights[name].flatten() for name in expected]) for weights in (made, expected))
    return float((whole - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("blur", [None, Blur(0.5)], ids=["plain", "integrated"])
@pytest.mark.parametrize("frozen", [False, True], ids=["live", "frozen"])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_cropped_values_are_those_of_the_member_alone(kind: str, family: str, frozen: bool, blur: Blur | None) -> None:
    manifold = randomised(kind, family)
    members = members_of(manifold)
    for member, made in zip(members, together(manifold, PaddedProducts(inr_of(manifold), blur, frozen=frozen), members), strict=True):
        assert relative_error(made, manifold.inr(member, blur)) < 1e-6


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_the_members_alone(kind: str, family: str) -> None:
    manifold = randomised(kind, family)
    inr, members = inr_of(manifold).requires_grad_(True), members_of(manifold)
    names, parameters = zip(*inr.named_parameters(), strict=True)

    def gradients(made: list[dict[str, Tensor]]) -> list[Tensor]:
        generator = torch.Generator().manual_seed(7)
        terms = [(values * torch.randn(values.shape, generator=generator)).sum() for weights in made for _, values in sorted(weights.items())]
        return list(torch.autograd.grad(torch.stack(terms).sum(), parameters))

    expected = gradients([inr(member) for member in members])
    for name, made, wanted in zip(names, gradients(together(manifold, PaddedProducts(inr), members)), expected, strict=True):
        assert wanted.any(), name
        assert (made - wanted).norm() < 1e-5 * wanted.norm(), name


def test_follows_the_parameters_unless_frozen() -> None:
    manifold = randomised("anchored with scales", "tiny")
    members = members_of(manifold)
    manifold.inr.requires_grad_(True)
    live, frozen = (PaddedProducts(inr_of(manifold), frozen=yes) for yes in (False, True))
    before = together(manifold, live, members)
    assert not any(values.requires_grad for made in together(manifold, frozen, members) for values in made.values())
    with torch.no_grad():
        for parameter in manifold.inr.parameters():
            parameter.add_(0.1)
    for k, member in enumerate(members):
        assert relative_error(together(manifold, live, members)[k], manifold.inr(member)) < 1e-6
        assert relative_error(together(manifold, frozen, members)[k], before[k]) == 0
