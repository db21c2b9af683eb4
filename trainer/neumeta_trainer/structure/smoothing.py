"""The distances between neighbouring channels that a smooth order makes small.

An INR is a smooth function of channel coordinates, so it fits weights better whose neighbouring channels are alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from neumeta_core.architecture import Architecture, GeneratedParameter, Segment
from torch import Tensor


def channel_distances(architecture: Architecture, tensors: Mapping[str, Tensor], group: str) -> Tensor:
    """``[channels, channels]`` L1 distances between the channels of a group, summed over all axes that it is on.

    The length of a path through all channels is then the group's total variation in that order (section 3.2 of the paper). The entries of
    a channel that is repeated (a Linear after a flatten) are compared one by one with its neighbour's.
    """
    full = architecture.full_widths[group]
    distances = torch.zeros(full, full, dtype=torch.float64)
    for parameter, dim, offset, segment in group_axes(architecture, group):
        if parameter.name in tensors:
            features = segment_features(tensors[parameter.name], dim, offset, segment, full)
            distances += torch.cdist(features, features, p=1)
    return distances


def group_axes(architecture: Architecture, group: str) -> Iterator[tuple[GeneratedParameter, int, int, Segment]]:
    """(parameter, dimension, offset on that axis in the full network, segment) wherever a group occurs."""
    for parameter in architecture.parameters:
        for dim, axis in enumerate(parameter.axes):
            offset = 0
            for segment in axis:
                if segment.group == group:
                    yield parameter, dim, offset, segment
                offset += segment.size(architecture.full_widths)


def segment_features(tensor: Tensor, dim: int, offset: int, segment: Segment, channels: int) -> Tensor:
    """``[channels, features]`` in float64 on the CPU: everything in a full tensor that belongs to each channel of a segment."""
    part = tensor.narrow(dim, offset, channels * segment.repeat)
    return part.movedim(dim, 0).reshape(channels, -1).cpu().double()
