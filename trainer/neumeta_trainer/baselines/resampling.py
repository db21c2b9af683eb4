"""A trained network at fewer channels without any training: its weights read as functions of the channel position.

A weight along an axis of ``n`` channels is a piecewise linear function on ``[0, 1]`` that is known at ``n`` equidistant positions,
the ends among them. A narrower network takes its values at fewer positions. Over input channels a layer is a sum, which
stands for an integral: each rule is a quadrature, whose weights are divided out of the trained sum and multiplied into
the new one. So at full width every rule returns the network itself.
"""

from __future__ import annotations

from typing import Literal

import torch
from neumeta_core.architecture import Architecture, GeneratedParameter, Segment, Widths
from torch import Tensor, nn

from neumeta_trainer.structure.resize import resized

Rule = Literal["mean", "trapezoid"]
"""``mean``: all positions count alike, so weights grow by the ratio of fan-ins; ``trapezoid``: the ends count half (Integral
Neural Networks, CVPR 2023)."""


@torch.no_grad()
def resampled(network: nn.Module, architecture: Architecture, configuration: Widths, rule: Rule) -> nn.Module:
    """The network at a configuration, each of its weights interpolated along its channel axes.

    Normalization (scale, shift and statistics) is interpolated as well. Smooth along channels or not, the network is taken as
    it is: put it into the smooth order first.
    """
    tensors = network.state_dict()
    parameters = {
        parameter.name: _resampled(tensors[parameter.name], parameter, architecture.full_widths, configuration, rule)
        for parameter in architecture.parameters
    }
    return resized(network, architecture, configuration, parameters)


def _resampled(tensor: Tensor, parameter: GeneratedParameter, full: Widths, widths: Widths, rule: Rule) -> Tensor:
    result = tensor.double()
    for dim, axis in enumerate(parameter.axes):
        if any(segment.group for segment in axis):
            matrix = _axis_matrix(axis, full, widths, rule if dim == parameter.in_dim else None).to(result.device)
            result = (result.movedim(dim, -1) @ matrix.T).movedim(-1, dim)
    return result.to(tensor.dtype).contiguous()


def _axis_matrix(axis: tuple[Segment, ...], full: Widths, widths: Widths, rule: Rule | None) -> Tensor:
    """``[new entries, old entries]``: a segment of a group is resampled by channels, the entries of a channel each apart."""
    parts = []
    for segment in axis:
        old, new = segment.channels(full), segment.channels(widths)
        matrix = interpolation(old, new)
        if rule is not None:
            matrix = quadrature(new, rule).unsqueeze(1) * matrix / quadrature(old, rule)
        parts.append(torch.kron(matrix, torch.eye(segment.repeat, dtype=matrix.dtype)))
    joined: Tensor = torch.block_diag(*parts)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return joined


def interpolation(old: int, new: int) -> Tensor:
    """``[new, old]`` float64: values at ``new`` equidistant positions from those at ``old`` ones; a single one lies in the middle."""
    positions = torch.linspace(0, old - 1, new, dtype=torch.float64) if new > 1 else torch.tensor([(old - 1) / 2], dtype=torch.float64)
    return (1 - (positions.unsqueeze(1) - torch.arange(old, dtype=torch.float64)).abs()).clamp_min(0)


def quadrature(count: int, rule: Rule) -> Tensor:
    """Weights of ``count`` equidistant positions in an integral over ``[0, 1]``, in float64; they add up to one."""
    weights = torch.ones(count, dtype=torch.float64)
    if rule == "trapezoid" and count > 1:
        weights[0] = weights[-1] = 0.5
    return weights / weights.sum()
