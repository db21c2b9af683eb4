"""Total variation of weights along their channels in several orders (section 3.2 of the paper)."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping

import torch
from neumeta_core.architecture import Architecture
from torch import Tensor, nn

from neumeta_trainer.randomness import generator_for
from neumeta_trainer.structure.shortest_path import Matrix, nearest_neighbour, path_length, shortest_loop, shortest_path
from neumeta_trainer.structure.smoothing import channel_distances, group_axes, segment_features

RANDOM_ORDERS = 5
ORDERS = ("identity", "random", "greedy", "single layer", "ours")
TOTAL = "all groups"
NOTE = (
    f"Total variation along the channels of each group, over all axes that it is on. Random: mean of {RANDOM_ORDERS}; greedy: always on to the "
    "nearest channel; single layer: the shortest loop through the channels of the group's first layer alone, opened at channel 0; ours: the "
    "shortest path over all layers."
)

Variations = dict[str, dict[str, float]]
"""Channel group, and ``all groups`` -> order -> total variation."""


def variations(network: nn.Module, architecture: Architecture) -> Variations:
    """Total variation of a full network in every order; the network itself is left alone."""
    tensors = {name: parameter.detach().cpu() for name, parameter in network.named_parameters()}
    found = {group.name: _of_group(architecture, tensors, group.name) for group in architecture.groups}
    return found | {TOTAL: {order: sum(values[order] for values in found.values()) for order in ORDERS}}


def _of_group(architecture: Architecture, tensors: Mapping[str, Tensor], group: str) -> dict[str, float]:
    # The length of a path over these distances is the group's total variation in that order.
    distances: Matrix = channel_distances(architecture, tensors, group).numpy()
    count = len(distances)
    orders: dict[str, Callable[[], list[int]]] = {
        "identity": lambda: list(range(count)),
        "greedy": lambda: nearest_neighbour(distances, 0).tolist(),
        "single layer": lambda: shortest_loop(_first_layer(architecture, tensors, group)),
        "ours": lambda: shortest_path(distances),
    }
    lengths = {name: path_length(distances, order()) for name, order in orders.items()}
    drawn = [torch.randperm(count, generator=generator_for(f"random order of {group}", number)).tolist() for number in range(RANDOM_ORDERS)]
    lengths["random"] = statistics.fmean(path_length(distances, order) for order in drawn)
    return {name: lengths[name] for name in ORDERS}


def _first_layer(architecture: Architecture, tensors: Mapping[str, Tensor], group: str) -> Matrix:
    """Distances between the channels of a group in the first tensor that makes them (that has them, where none makes them)."""
    axes = [found for found in group_axes(architecture, group) if found[0].name in tensors]
    making = [found for found in axes if found[1] == found[0].out_dim]
    parameter, dim, offset, segment = (making or axes)[0]
    features = segment_features(tensors[parameter.name], dim, offset, segment, architecture.full_widths[group])
    distances: Matrix = torch.cdist(features, features, p=1).numpy()
    return distances
