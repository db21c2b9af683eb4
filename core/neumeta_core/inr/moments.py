"""What a block adds to the outputs of its layer, from moments of the block's inputs: normalization without data.

Input channel ``i`` of a block has a mean ``m``, and every one of its taps a variance with a part of its own ``v`` and a part
``c`` that all taps share; channels are taken as independent. So the block's outputs have the mean ``sum m W`` and the variance
``sum v W^2 + sum c (sum over taps of W)^2``. A member whose inputs are a part of the network's, or whose weights lie between those
of two others, has sums of other mean and spread than these; its layers were trained to see those. The moments tell by how much.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

MOMENTS = 3
"""Numbers per input channel: mean, own variance of a tap, common variance of the taps."""

_LEAST = 1e-12
_LIMIT = math.log(4)
"""Of the logarithm of a correction: beyond it inputs were all but dead, and their moments say nothing."""


def mean(values: Tensor, moments: Tensor) -> Tensor:
    """Of what a block adds: ``[..., out, in, taps]``, ``[..., MOMENTS, in]`` -> ``[..., out]``."""
    return _matvec(values.sum(-1), moments[..., 0, :])


def log_spread(values: Tensor, moments: Tensor) -> Tensor:
    """Logarithm of the standard deviation of what a block adds: ``[..., out, in, taps]``, ``[..., MOMENTS, in]`` -> ``[..., out]``."""
    variance = _matvec(values.square().sum(-1), moments[..., 1, :]) + _matvec(values.sum(-1).square(), moments[..., 2, :])
    return variance.clamp_min(_LEAST).log() / 2


def _matvec(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)


def added(values: Tensor, moments: Tensor) -> Tensor:
    """``mean`` and ``log_spread``: ``[..., 2, out]``."""
    return torch.stack([mean(values, moments), log_spread(values, moments)], dim=-2)


def steps(members: Sequence[Tensor]) -> Tensor:
    """Values ``[..., channels]`` of members from wide to narrow -> the first member's, and how each differs from the one before it.

    Narrow members stay as the one before them in channels that they lack: ``[members, ..., channels]``, so that a sum with the gates
    of levels lies between two members.
    """
    found = [members[0]]
    for before, values in pairwise(members):
        step = torch.zeros_like(members[0])
        step[..., : values.shape[-1]] = values - before[..., : values.shape[-1]]
        found.append(step)
    return torch.stack(found)


def between(steps: Tensor, gates: Tensor) -> Tensor:
    """The sum of ``steps``: ``[s, ...]`` and gates ``[..., s - 1]`` -> ``[..., *steps.shape[1:]]``."""
    table = steps.flatten(1)
    return (table[0] + gates @ table[1:]).view(*gates.shape[:-1], *steps.shape[1:])


def wanted(members: Sequence[Tensor], moments: Tensor) -> Tensor:
    """What members add, from wide to narrow, as ``steps``: values ``[..., out, in, taps]`` of each, and ``steps`` of their moments."""
    return steps([added(values, moments[: index + 1].sum(0)[..., : values.shape[-2]]) for index, values in enumerate(members)])


def rescaling(sought: Tensor, values: Tensor, moments: Tensor) -> Tensor:
    """Factors for the rows of a block that bring its spread to the one of ``sought``, ``[..., 2, out]``: ``[..., out]``."""
    return (sought[..., 1, :] - log_spread(values, moments)).clamp(-_LIMIT, _LIMIT).exp()


def missing(sought: Tensor, values: Tensor, moments: Tensor) -> Tensor:
    """What a block's mean lacks of the one of ``sought``, ``[..., 2, out]``: ``[..., out]``."""
    return sought[..., 0, :] - mean(values, moments)
