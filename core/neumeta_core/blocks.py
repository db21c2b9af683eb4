"""Blocks: the part of a parameter that lies between one segment of output channels and one of input channels.

An INR makes parameters block by block. A block's values are a tensor ``[out, in, taps]``: one vector of ``taps`` for
every pair of channels, where taps are kernel positions and repeats (a Linear after a flatten has ``H*W`` of them). A
vector parameter (bias, scale) has ``in = 1``. Most parameters are one block; a convolution over concatenated skip
connections is one block for each of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from neumeta_core.architecture import Architecture, GeneratedParameter, Segment, Widths

ONE = Segment(count=1)


@dataclass(frozen=True)
class Block:
    """One (output segment, input segment) pair of a generated parameter."""

    parameter: GeneratedParameter
    row: int
    """Index of the output segment on its axis."""
    column: int
    """Index of the input segment on its axis."""
    out: Segment
    in_: Segment

    @property
    def name(self) -> str:
        """Unique within an architecture; the key of the block's INR parameters."""
        return f"{self.parameter.name}[{self.row},{self.column}]"

    @property
    def taps(self) -> int:
        """Values per pair of channels."""
        return self.out.repeat * self.in_.repeat * prod(self.parameter.kernel)

    @property
    def is_vector(self) -> bool:
        """True for biases and scales."""
        return self.parameter.in_dim is None

    def shape(self, widths: Widths) -> tuple[int, int, int]:
        """``(out channels, in channels, taps)`` at these widths."""
        return self.out.channels(widths), self.in_.channels(widths), self.taps


def blocks_of(architecture: Architecture) -> list[Block]:
    """All blocks, in the order of the parameters."""
    return [block for parameter in architecture.parameters for row in parameter_blocks(parameter) for block in row]


def count_blocks(architecture: Architecture) -> int:
    """How many ``blocks_of`` makes. None is made: a parameter has as many as the product of its segments, which can be more than memory holds."""
    return sum(len(rows) * len(columns) for rows, columns in map(_segments, architecture.parameters))


def parameter_blocks(parameter: GeneratedParameter) -> list[list[Block]]:
    """Blocks of one parameter as rows (output segments) of columns (input segments)."""
    rows, columns = _segments(parameter)
    return [[Block(parameter, r, c, out, in_) for c, in_ in enumerate(columns)] for r, out in enumerate(rows)]


def bias_blocks(architecture: Architecture) -> dict[str, str]:
    """Block of a layer's weight -> the block of its bias with the same output channels, by name, where that is generated too."""
    vectors = {block.name: block.out for block in blocks_of(architecture) if block.is_vector and block.taps == 1}
    pairs = {}
    for block in blocks_of(architecture):
        stem, dot, kind = block.parameter.name.rpartition(".")
        bias = f"{stem}{dot}bias[{block.row},0]"
        if kind == "weight" and not block.is_vector and vectors.get(bias) == block.out:
            pairs[block.name] = bias
    return pairs


def join(parameter: GeneratedParameter, values: Mapping[str, Tensor]) -> Tensor:
    """Blocks ``[..., out, in, taps]`` by name -> the parameter ``[..., *shape]``, in the layout of its ONNX initializer."""
    rows = parameter_blocks(parameter)
    first = values[rows[0][0].name].dim() - 3
    strips = [_concatenated([_to_matrix(block, values[block.name]) for block in row], dim=first + 1) for row in rows]
    canonical = _concatenated(strips, dim=first)
    if parameter.in_dim is None:
        return canonical.squeeze(first + 1).movedim(first, first + parameter.out_dim)
    return canonical.movedim((first, first + 1), (first + parameter.out_dim, first + parameter.in_dim))


def split(parameter: GeneratedParameter, tensor: Tensor, widths: Widths) -> dict[str, Tensor]:
    """The inverse of ``join``: a parameter at these widths -> its blocks ``[out, in, taps]`` by name."""
    if parameter.in_dim is None:
        canonical = tensor.movedim(parameter.out_dim, 0).unsqueeze(1)
    else:
        canonical = tensor.movedim((parameter.out_dim, parameter.in_dim), (0, 1))
    blocks: dict[str, Tensor] = {}
    rows = parameter_blocks(parameter)
    strips = torch.split(canonical, [row[0].out.size(widths) for row in rows], dim=0)
    for row, strip in zip(rows, strips, strict=True):
        parts = torch.split(strip, [block.in_.size(widths) for block in row], dim=1)
        blocks |= {block.name: _from_matrix(block, part) for block, part in zip(row, parts, strict=True)}
    return blocks


def _segments(parameter: GeneratedParameter) -> tuple[tuple[Segment, ...], tuple[Segment, ...]]:
    """Output segments and input segments."""
    return parameter.axes[parameter.out_dim], (ONE,) if parameter.in_dim is None else parameter.axes[parameter.in_dim]


def _concatenated(parts: list[Tensor], dim: int) -> Tensor:
    # Most parameters are one block, which need not be copied.
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=dim)


def _to_matrix(block: Block, values: Tensor) -> Tensor:
    """``[..., out, in, taps]`` -> ``[..., out*repeat, in*repeat, *kernel]``."""
    *members, out, in_, _ = values.shape
    kernel = block.parameter.kernel
    split_taps = values.reshape(*members, out, in_, block.out.repeat, block.in_.repeat, *kernel)
    swapped = split_taps.transpose(len(members) + 1, len(members) + 2)
    return swapped.reshape(*members, out * block.out.repeat, in_ * block.in_.repeat, *kernel)


def _from_matrix(block: Block, part: Tensor) -> Tensor:
    out, in_ = part.shape[0] // block.out.repeat, part.shape[1] // block.in_.repeat
    unpacked = part.reshape(out, block.out.repeat, in_, block.in_.repeat, *block.parameter.kernel)
    return unpacked.transpose(1, 2).reshape(out, in_, block.taps)
