"""Which values of the full network belong to a member, found on the device."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

import torch
from torch import Tensor

from neumeta_core.architecture import Architecture, GeneratedParameter, Segment

_ALWAYS = -1
"""Channel number of what no width cuts off."""


class Prefixes:
    """The prefixes of every segment of all parameters of one architecture."""

    def __init__(self, architecture: Architecture, device: torch.device) -> None:
        axes = [parameter.axes[dim] for parameter in architecture.parameters for dim in _channel_dims(parameter)]
        names = [group.name for group in architecture.groups]
        segments = [(segment, _size(segment, architecture)) for axis in axes for segment in axis]
        self._groups = torch.cat([torch.full((size,), names.index(segment.group) if segment.group else 0) for segment, size in segments]).to(device)
        self._channels = torch.cat([_channels(segment, size) for segment, size in segments]).to(device)
        sizes = [sum(_size(segment, architecture) for segment in axis) for axis in axes]
        starts = accumulate(sizes, initial=0)
        rows, columns = zip(*(_entries(parameter, architecture, starts) for parameter in architecture.parameters), strict=True)
        self._rows, self._columns = torch.cat(rows).to(device), torch.cat(columns).to(device)

    def __call__(self, values: Tensor, widths: Tensor) -> Tensor:
        """All parameters at full extents, one after the other ``[v]`` -> the same values, those within the widths ``[groups]`` first.

        Both parts keep their order: so the first ones are the parameters of the member, one after the other. Never waits for the device.
        """
        within = self._channels < widths.index_select(0, self._groups)
        kept = within.index_select(0, self._rows) & within.index_select(0, self._columns)
        counted = kept.cumsum(0)
        dropped = torch.arange(len(values), device=values.device) - counted
        return torch.empty_like(values).scatter_(0, torch.where(kept, counted - 1, counted[-1] + dropped), values)


def _channel_dims(parameter: GeneratedParameter) -> tuple[int, ...]:
    return (parameter.out_dim,) if parameter.in_dim is None else (parameter.out_dim, parameter.in_dim)


def _size(segment: Segment, architecture: Architecture) -> int:
    return segment.size(architecture.full_widths)


def _channels(segment: Segment, size: int) -> Tensor:
    """Number of the channel that every entry of a segment belongs to."""
    if segment.group is None:
        return torch.full((size,), float(_ALWAYS))
    return torch.arange(size // segment.repeat, dtype=torch.float32).repeat_interleave(segment.repeat)


def _entries(parameter: GeneratedParameter, architecture: Architecture, starts: Iterator[int]) -> tuple[Tensor, Tensor]:
    """For every value of a parameter its entries on the axes of output and input channels, among those of all axes: ``[values]`` each."""
    shape = parameter.shape(architecture.full_widths)
    found = []
    for dim in _channel_dims(parameter):
        start = next(starts)
        line = torch.arange(start, start + shape[dim], dtype=torch.int32).view(-1, *[1] * (len(shape) - dim - 1))
        found.append(line.expand(shape).flatten())
    return found[0], found[-1]
