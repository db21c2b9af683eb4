"""What is left when the layers that morph give nothing: the floor for a manifold of a residual block.

Generated weights start near zero, and stacked ones keep each other there, so a manifold that learned nothing is this network.
"""

from __future__ import annotations

import copy

import torch
from neumeta_core.architecture import Architecture
from neumeta_core.cost import Cost, cost_of
from torch import nn


@torch.no_grad()
def zero_block(fused: nn.Module, architecture: Architecture) -> nn.Module:
    """A copy of a network without BatchNorm in which all layers that read a group give zero: of a residual block the skip is left."""
    result = copy.deepcopy(fused)
    for path in _readers(architecture):
        for parameter in result.get_submodule(path).parameters():
            parameter.zero_()
    return result


def zero_block_cost(fused: nn.Module, architecture: Architecture) -> Cost:
    """Of the network without the block: every group is gone, and with it what its readers add."""
    cost = cost_of(architecture, dict.fromkeys(architecture.full_widths, 0))
    tensors = {f"{path}.{name}": tensor for path in _readers(architecture) for name, tensor in fused.get_submodule(path).named_parameters()}
    added = sum(tensor.numel() for name, tensor in tensors.items() if name not in architecture.by_name)
    return Cost(params=cost.params - added, macs=cost.macs)


def _readers(architecture: Architecture) -> list[str]:
    """Paths of the layers that read channels of a group."""
    return [
        parameter.name.rpartition(".")[0]
        for parameter in architecture.parameters
        if parameter.in_dim is not None and any(segment.group for segment in parameter.axes[parameter.in_dim])
    ]
