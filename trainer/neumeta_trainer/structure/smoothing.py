"""How rough the weights are along their channels, and the distances that a smooth order makes small.

An INR is a smooth function of channel coordinates, so it fits weights better whose neighbouring channels are alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from neumeta_core.architecture import Architecture, GeneratedParameter, Segment
from torch import Tensor


def total_variation(tensor: Tensor, dim: int) -> float:
    """Sum of absolute differences between neighbours along a dimension (section 3.2 of the paper).

    A permutation along one dimension leaves the variation along every other dimension as it is (proposition 1).
    """
    return float(tensor.double().diff(dim=dim).abs().sum())


def group_variation(architecture: Architecture, tensors: Mapping[str, Tensor], group: str) -> float:
    """Total variation along the channels of a group, over all axes that it is on.

    The entries of a channel that is repeated (a Linear after a flatten) are compared one by one with its neighbour's.
    """
    return sum(total_variation(features, 0) for features in _features(architecture, tensors, group))


def channel_distances(architecture: Architecture, tensors: Mapping[str, Tensor], group: str) -> Tensor:
    """``[channels, channels]`` L1 distances between the channels of a group, summed over all axes that it is on.

    The length of a path through all channels is then the group's variation in that order.
    """
    full = architecture.full_widths[group]
    distances = torch.zeros(full, full, dtype=torch.float64)
    for features in _features(architecture, tensors, group):
        distances += torch.cdist(features, features, p=1)
    return distances


def _features(architecture: Architecture, tensors: Mapping[str, Tensor], group: str) -> Iterator[Tensor]:
    full = architecture.full_widths[group]
    for parameter, dim, offset, segment in group_axes(architecture, group):
        if parameter.name in tensors:
            yield segment_features(tensors[parameter.name], dim, offset, segment, full)


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
