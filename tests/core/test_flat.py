"""What a CUDA graph records, on the CPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from neumeta_core.architecture import Architecture, ChannelGroup
from neumeta_core.inr import Blur
from neumeta_core.materialize.flat import FlatProducts
from neumeta_core.materialize.prefixes import Prefixes
from torch.utils._python_dispatch import TorchDispatchMode

from tests.core.test_blocks import PARAMETERS, WIDTHS, cropped
from tests.core.test_padded import FAMILIES, KINDS, inr_of, members_of, randomised, relative_error


@pytest.mark.parametrize("blur", [None, Blur(0.5)], ids=["plain", "integrated"])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_member_is_the_first_of_the_flat_values(kind: str, family: str, blur: Blur | None) -> None:
    manifold = randomised(kind, family)
    flat = FlatProducts(inr_of(manifold), blur)
    for member in members_of(manifold):
        made = flat.parts(flat(flat.sizes(member))[: flat.count(member)], member)
        assert list(made) == [parameter.name for parameter in manifold.architecture.parameters]
        assert all(values.is_contiguous() and not values.requires_grad for values in made.values())
        assert relative_error(made, manifold.inr(member, blur)) < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_all_members_take_as_many_numbers(kind: str) -> None:
    manifold = randomised(kind, "patched")
    flat = FlatProducts(inr_of(manifold), None)
    sizes = [flat.sizes(member) for member in members_of(manifold)]
    assert len({each.shape for each in sizes}) == 1
    assert {flat(each).shape for each in sizes} == {(flat.count(manifold.architecture.full_widths),)}


@pytest.mark.parametrize("widths", [{"a": 5, "b": 3}, {"a": 2, "b": 3}, {"a": 1, "b": 1}, {"a": 4, "b": 2}], ids=str)
def test_prefixes_of_every_layout_come_first_and_nothing_is_lost(widths: dict[str, int]) -> None:
    parameters = tuple(parameter.model_copy(update={"name": kind}) for kind, parameter in PARAMETERS.items())
    groups = tuple(ChannelGroup(name=name, full=full, minimum=1) for name, full in WIDTHS.items())
    architecture = Architecture(groups=groups, parameters=parameters, max_compression=0.5)
    values = torch.arange(sum(parameter.elements(WIDTHS) for parameter in parameters), dtype=torch.float32)
    moved = Prefixes(architecture, values.device)(values, torch.tensor([float(widths[group.name]) for group in groups]))
    full = zip(parameters, torch.split(values, [parameter.elements(WIDTHS) for parameter in parameters]), strict=True)
    wanted = torch.cat([cropped(each, part.view(each.shape(WIDTHS)), WIDTHS, widths).flatten() for each, part in full])
    assert torch.equal(moved[: len(wanted)], wanted)
    assert torch.equal(moved.sort().values, values)


class Operations(TorchDispatchMode):
    """Names of all operations, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("blur", [None, Blur(0.5)], ids=["plain", "integrated"])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_member_takes_the_same_operations_and_none_that_waits(kind: str, family: str, blur: Blur | None) -> None:
    manifold = randomised(kind, family)
    flat = FlatProducts(inr_of(manifold), blur)
    taken = []
    for sizes in [flat.sizes(member) for member in members_of(manifold)]:
        with Operations() as operations:
            flat(sizes)
        taken.append(operations.names)
    assert all(names == taken[0] for names in taken)
    # Reading a number back, shapes that follow from values, and constants that come from the host.
    assert not {"_local_scalar_dense", "nonzero", "masked_select", "lift_fresh", "_to_copy"} & set(taken[0])
