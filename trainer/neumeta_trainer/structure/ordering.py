"""The order of channels: one permutation per channel group, made once on the full network and used for all widths."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from neumeta_core.architecture import Architecture, ChannelGroup, Segment, Widths
from torch import Tensor, nn

from neumeta_trainer.config import Order
from neumeta_trainer.structure.shortest_path import shortest_path
from neumeta_trainer.structure.smoothing import channel_distances, group_axes, segment_features

Permutations = dict[str, list[int]]
"""Channel group -> permutation: entry ``k`` is the number of the old channel that comes to place ``k``."""


def channel_order(network: nn.Module, architecture: Architecture, kind: Order) -> Permutations:
    """One permutation for each group.

    ``smooth``: the shortest Hamiltonian path through the channels (eq. 8 of the paper); ``importance``: by descending
    L1 norm of everything that makes the channel, equal ones as they were; ``none``: as they are.
    """
    tensors = {name: parameter.detach().cpu() for name, parameter in network.named_parameters()}
    return {group.name: _permutation(architecture, tensors, group, kind) for group in architecture.groups}


def _permutation(architecture: Architecture, tensors: Mapping[str, Tensor], group: ChannelGroup, kind: Order) -> list[int]:
    if kind == "none":
        return list(range(group.full))
    if kind == "smooth":
        return shortest_path(channel_distances(architecture, tensors, group.name).numpy())
    order: list[int] = torch.argsort(_importance(architecture, tensors, group), descending=True, stable=True).tolist()
    return order


def _importance(architecture: Architecture, tensors: Mapping[str, Tensor], group: ChannelGroup) -> Tensor:
    norm = torch.zeros(group.full, dtype=torch.float64)
    for parameter, dim, offset, segment in group_axes(architecture, group.name):
        if dim == parameter.out_dim and parameter.name in tensors:
            norm += segment_features(tensors[parameter.name], dim, offset, segment, group.full).abs().sum(1)
    return norm


def permuted(architecture: Architecture, tensors: Mapping[str, Tensor], order: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """Tensors of the full network with the channels of every group in another order, on all axes of the group.

    The network's function stays; values move and never change. Tensors that the architecture does not name are handed
    through, so network inputs and outputs keep their order.
    """
    result = dict(tensors)
    for name in tensors.keys() & architecture.by_name.keys():
        for dim, axis in enumerate(architecture.by_name[name].axes):
            if any(segment.group for segment in axis):
                index = _axis_index(axis, architecture.full_widths, order)
                result[name] = result[name].index_select(dim, torch.tensor(index, device=result[name].device))
    return result


def _axis_index(axis: Sequence[Segment], full: Widths, order: Mapping[str, Sequence[int]]) -> list[int]:
    index: list[int] = []
    for segment in axis:
        start = len(index)
        channels = range(segment.channels(full)) if segment.group is None else order[segment.group]
        index += [start + channel * segment.repeat + entry for channel in channels for entry in range(segment.repeat)]
    return index


def permute(network: nn.Module, architecture: Architecture, order: Mapping[str, Sequence[int]]) -> nn.Module:
    """A copy of ``network`` with its channels in another order that computes the same function."""
    result = copy.deepcopy(network)
    result.load_state_dict(permuted(architecture, network.state_dict(), order))
    return result
