from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from neumeta_core.assembly import artifact_size, assemble
from neumeta_core.configuration import Configuration, from_widths
from neumeta_core.cost import Cost, cost_of
from neumeta_core.errors import InvalidField
from neumeta_core.manifold import Manifold
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from tests import patched, tiny
from tests.uniform import uniform_members


class MultiplyAdds(TorchFunctionMode):
    """Counts what the layers of a torch network really do, from the shapes that go through them."""

    total = 0

    def __torch_function__(self, function: Any, types: Any, arguments: tuple[Any, ...] = (), options: dict[str, Any] | None = None) -> Any:
        made = function(*arguments, **(options or {}))
        if function in (functional.conv2d, functional.linear):
            # Every output is a sum over the inputs that one filter sees.
            self.total += made.numel() * arguments[1][0].numel()
        elif function is functional.conv_transpose2d:
            self.total += arguments[0].numel() * arguments[1][0].numel()
        return made


shared_manifolds = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=20)


def weights_of(manifold: Manifold, member: Configuration) -> dict[str, Tensor]:
    return {parameter.name: torch.ones(parameter.shape(member)) for parameter in manifold.architecture.parameters}


def check_bytes(manifold: Manifold, member: Configuration) -> None:
    weights = weights_of(manifold, member)
    for precision in ("fp32", "fp16", "int8"):
        made = len(assemble(manifold, member, weights, precision).data)
        assert manifold.cost(member, precision).bytes == artifact_size(manifold, member, precision) == made


def test_bytes_are_exact_at_every_uniform_member(tiny_manifold: Manifold, patched_manifold: Manifold) -> None:
    for manifold in (tiny_manifold, patched_manifold):
        for member in uniform_members(manifold.architecture):
            check_bytes(manifold, member)


@shared_manifolds
@example(one=260, two=260)
@example(one=600, two=1)
@given(one=st.integers(1, 64), two=st.integers(1, 64))
def test_bytes_are_exact_at_any_widths(tiny_manifold: Manifold, one: int, two: int) -> None:
    # Far beyond the full widths, for the lengths of lengths: a varint grows at 128, 16384 and 2097152 bytes.
    check_bytes(tiny_manifold, from_widths(tiny_manifold.architecture, {"conv1": one, "conv2": two}, extrapolate=True))


@shared_manifolds
@given(one=st.integers(1, 64), two=st.integers(1, 64))
def test_bytes_are_exact_where_integers_are_patched(patched_manifold: Manifold, one: int, two: int) -> None:
    check_bytes(patched_manifold, from_widths(patched_manifold.architecture, {"a": 2 * one, "b": two}, extrapolate=True))


@pytest.mark.parametrize(("one", "two"), [(8, 12), (5, 7), (2, 3)])
def test_parameters_and_multiply_adds_of_tiny_equal_a_count(tiny_manifold: Manifold, one: int, two: int) -> None:
    member = tiny_manifold.configure(widths={"conv1": one, "conv2": two})
    weights = tiny_manifold.materialize(member)
    with MultiplyAdds() as counted:
        tiny.forward(weights, torch.zeros(1, 1, tiny.SIDE, tiny.SIDE))
    cost = tiny_manifold.cost(member)
    assert cost.macs == counted.total
    assert cost.params == sum(values.numel() for values in weights.values()) + 3


@pytest.mark.parametrize(("one", "two"), [(8, 5), (6, 1), (2, 4)])
def test_parameters_and_multiply_adds_of_patched_equal_a_count(patched_manifold: Manifold, one: int, two: int) -> None:
    member = patched_manifold.configure(widths={"a": one, "b": two})
    weights = patched_manifold.materialize(member)
    with MultiplyAdds() as counted:
        patched.forward(weights, torch.zeros(1, 1, patched.SIDE, patched.SIDE))
    cost = patched_manifold.cost(member)
    assert cost.macs == counted.total
    assert cost.params == sum(values.numel() for values in weights.values()) + 2


def test_a_hand_computed_cost() -> None:
    architecture = tiny.tiny_architecture()
    # conv1 8*9, bias 8, conv2 12*8*9, bias 12, head 3*12*16, and the 3 that are not generated.
    expected = Cost(params=72 + 8 + 864 + 12 + 576 + 3, macs=64 * (72 + 864) + 576)
    assert cost_of(architecture, architecture.full_widths) == expected
    assert expected.as_dict() == {"params": 1535, "macs": 60480}


def test_what_is_fixed_is_counted() -> None:
    architecture = tiny.tiny_architecture().model_copy(update={"fixed_macs": 1000, "fixed_params": 50})
    cost = cost_of(architecture, architecture.full_widths)
    assert (cost.params, cost.macs) == (1535 + 47, 61480)


def test_an_unknown_precision_is_an_error_that_names_it(tiny_manifold: Manifold) -> None:
    with pytest.raises(InvalidField, match="precision: 'int3' is not allowed; expected one of fp32, fp16"):
        tiny_manifold.cost(tiny_manifold.configure(0), "int3")
