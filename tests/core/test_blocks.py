from __future__ import annotations

from math import prod

import pytest
import torch
from neumeta_core.architecture import GeneratedParameter, Segment, Widths
from neumeta_core.blocks import join, parameter_blocks, split

from tests.tiny import fixed, group

WIDTHS = {"a": 5, "b": 3}
KERNEL = (fixed(3), fixed(2))
SKIP = (Segment(group="a", repeat=2), Segment(count=4), Segment(group="b"))
PARAMETERS = {
    "convolution": GeneratedParameter(name="w", axes=(group("a"), group("b"), *KERNEL), in_dim=1, macs_per_element=1),
    "transposed": GeneratedParameter(name="w", axes=(group("a"), group("b"), *KERNEL), out_dim=1, in_dim=0, macs_per_element=1),
    "linear": GeneratedParameter(name="w", axes=(fixed(7), group("a", 6)), in_dim=1, macs_per_element=1),
    "linear, transposed": GeneratedParameter(name="w", axes=(group("a", 6), group("b")), out_dim=1, in_dim=0, macs_per_element=1),
    "repeated outputs": GeneratedParameter(name="w", axes=(group("a", 4), group("b", 2)), in_dim=1, macs_per_element=1),
    "concatenated": GeneratedParameter(name="w", axes=(group("b"), SKIP, *KERNEL), in_dim=1, macs_per_element=1),
    "concatenated outputs": GeneratedParameter(name="w", axes=(SKIP, (Segment(group="a"), Segment(count=2))), in_dim=1, macs_per_element=1),
    "depthwise": GeneratedParameter(name="w", axes=(group("a"), fixed(1), *KERNEL), in_dim=1, macs_per_element=1),
    "depthwise as a vector": GeneratedParameter(name="w", axes=(group("a"), fixed(1), *KERNEL), macs_per_element=1),
    "vector": GeneratedParameter(name="w", axes=(group("a", 2),), macs_per_element=0),
    "concatenated vector": GeneratedParameter(name="w", axes=(SKIP,), macs_per_element=0),
    "row vector": GeneratedParameter(name="w", axes=(fixed(1), group("a")), out_dim=1, macs_per_element=0),
    "channels last": GeneratedParameter(name="w", axes=(*KERNEL, group("b"), group("a")), out_dim=3, in_dim=2, macs_per_element=1),
}


def numbered(parameter: GeneratedParameter) -> torch.Tensor:
    shape = parameter.shape(WIDTHS)
    return torch.arange(prod(shape), dtype=torch.float32).reshape(shape)


def cropped(parameter: GeneratedParameter, values: torch.Tensor, full: Widths, widths: Widths) -> torch.Tensor:
    """A parameter at the widths ``full``, cut to the prefixes of its blocks."""
    blocks = split(parameter, values, full)
    shapes = {block.name: block.shape(widths) for row in parameter_blocks(parameter) for block in row}
    return join(parameter, {name: blocks[name][:out, :in_] for name, (out, in_, _) in shapes.items()})


@pytest.mark.parametrize("kind", PARAMETERS)
def test_join_is_the_inverse_of_split(kind: str) -> None:
    parameter = PARAMETERS[kind]
    values = numbered(parameter)
    blocks = split(parameter, values, WIDTHS)
    layout = [block for row in parameter_blocks(parameter) for block in row]
    assert {block.name: block.shape(WIDTHS) for block in layout} == {name: tuple(made.shape) for name, made in blocks.items()}
    assert torch.equal(join(parameter, blocks), values)


@pytest.mark.parametrize("kind", PARAMETERS)
def test_members_are_joined_together_as_alone(kind: str) -> None:
    parameter = PARAMETERS[kind]
    values = [numbered(parameter), -numbered(parameter)]
    blocks = [split(parameter, each, WIDTHS) for each in values]
    together = {name: torch.stack([each[name] for each in blocks]) for name in blocks[0]}
    assert torch.equal(join(parameter, together), torch.stack(values))


def test_taps_of_a_convolution_are_its_kernel() -> None:
    values = numbered(PARAMETERS["convolution"])
    (block,) = split(PARAMETERS["convolution"], values, WIDTHS).values()
    assert torch.equal(block[4, 2], values[4, 2].flatten())


def test_a_transposed_convolution_has_its_outputs_second() -> None:
    values = numbered(PARAMETERS["transposed"])
    (block,) = split(PARAMETERS["transposed"], values, WIDTHS).values()
    assert block.shape == (3, 5, 6)
    assert torch.equal(block[2, 4], values[4, 2].flatten())


def test_taps_of_a_linear_after_a_flatten_are_the_pixels_of_one_channel() -> None:
    values = numbered(PARAMETERS["linear"])
    (block,) = split(PARAMETERS["linear"], values, WIDTHS).values()
    assert torch.equal(block[3, 2], values[3, 12:18])


def test_taps_of_repeated_outputs_are_all_pairs_of_repeats() -> None:
    values = numbered(PARAMETERS["repeated outputs"])
    (block,) = split(PARAMETERS["repeated outputs"], values, WIDTHS).values()
    assert torch.equal(block[1, 2], values[4:8, 4:6].flatten())


def test_concatenated_inputs_are_blocks_side_by_side() -> None:
    values = numbered(PARAMETERS["concatenated"])
    first, second, third = split(PARAMETERS["concatenated"], values, WIDTHS).values()
    assert torch.equal(first[1, 2], values[1, 4:6].flatten())
    assert torch.equal(second[1, 2], values[1, 12].flatten())
    assert torch.equal(third[1, 2], values[1, 16].flatten())


def test_a_prefix_of_the_blocks_is_a_prefix_of_every_segment() -> None:
    parameter = PARAMETERS["concatenated"]
    values, narrow = numbered(parameter), {"a": 2, "b": 1}
    rows = parameter_blocks(parameter)
    full = split(parameter, values, WIDTHS)
    cut = {block.name: full[block.name][: block.shape(narrow)[0], : block.shape(narrow)[1]] for row in rows for block in row}
    assert torch.equal(join(parameter, cut), values[:1, [0, 1, 2, 3, 10, 11, 12, 13, 14]])
