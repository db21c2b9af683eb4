"""What a CUDA graph records, on the CPU."""

from __future__ import annotations

import pytest
import torch
from neumeta_core.inr import Blur
from neumeta_core.materialize.flat import FlatProducts

from tests.core.test_padded import FAMILIES, KINDS, inr_of, members_of, randomised, relative_error


@pytest.mark.parametrize("blur", [None, Blur(0.5)], ids=["plain", "integrated"])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_member_is_cut_out_of_the_flat_values(kind: str, family: str, blur: Blur | None) -> None:
    manifold = randomised(kind, family)
    flat = FlatProducts(inr_of(manifold), blur)
    for member in members_of(manifold):
        made = flat.cut(flat(flat.sizes(member)), member)
        assert list(made) == [parameter.name for parameter in manifold.architecture.parameters]
        assert all(values.is_contiguous() and not values.requires_grad for values in made.values())
        assert relative_error(made, manifold.inr(member, blur)) < 1e-6


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_values_may_be_overwritten_when_a_member_is_cut(kind: str, family: str) -> None:
    manifold = randomised(kind, family)
    flat = FlatProducts(inr_of(manifold), None)
    for member in members_of(manifold):
        values = flat(flat.sizes(member))
        made = flat.cut(values, member)
        before = {name: each.clone() for name, each in made.items()}
        values.zero_()
        assert all(torch.equal(each, before[name]) for name, each in made.items())


@pytest.mark.parametrize("kind", KINDS)
def test_all_members_are_the_same_number_of_values(kind: str) -> None:
    manifold = randomised(kind, "patched")
    flat = FlatProducts(inr_of(manifold), None)
    whole = sum(parameter.elements(manifold.architecture.full_widths) for parameter in manifold.architecture.parameters)
    sizes = [flat.sizes(member) for member in members_of(manifold)]
    assert len({each.shape for each in sizes}) == 1
    assert {flat(each).shape for each in sizes} == {(whole,)}
