"""What a block adds to the outputs of its layer, from moments of the block's inputs: normalization without data.

Input channel ``i`` of a block has a mean ``m``, and every one of its taps a standard deviation ``v`` of its own and another, ``c``,
that all taps share; channels are taken as independent. So the block's outputs have the mean ``sum m W`` and the variance
``sum v^2 W^2 + sum c^2 (sum over taps of W)^2``. A member whose inputs are a part of the network's, or whose weights lie between those
of two others, has sums of other mean and spread than these; its layers were trained to see those. The moments tell by how much.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

MOMENTS = 3
"""Numbers per input channel: mean, standard deviation of a tap by itself, and that of all taps together."""

_LEAST = 1e-12
"""Variance of outputs without any, as of inputs that were not measured: there is nothing to correct."""
_LIMIT = math.log(4)
"""Of the logarithm of a correction: beyond it inputs were all but dead, and their moments say nothing."""


def mean(values: Tensor, moments: Tensor) -> Tensor:
    """Of what a block adds: ``[..., out, in, taps]``, ``[..., MOMENTS, in]`` -> ``[..., out]``."""
    return _matvec(values.sum(-1), moments[..., 0, :])


def log_spread(values: Tensor, moments: Tensor) -> Tensor:
    """Logarithm of the standard deviation of what a block adds: ``[..., out, in, taps]``, ``[..., MOMENTS, in]`` -> ``[..., out]``."""
    own, common = moments[..., 1, :].square(), moments[..., 2, :].square()
    variance = _matvec(values.square().sum(-1), own) + _matvec(values.sum(-1).square(), common)
    return variance.clamp_min(_LEAST).log() / 2


def _matvec(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)


def filled(members: Sequence[Tensor]) -> Tensor:
    """Values ``[..., channels]`` of members, from wide to narrow, at the channels of the widest: ``[members, ..., channels]``.

    In channels that a member lacks it gets the values of the next wider one.
    """
    found = [members[0]]
    for values in members[1:]:
        found.append(torch.cat([values, found[-1][..., values.shape[-1] :]], dim=-1))
    return torch.stack(found)


def between(members: Tensor, gates: Tensor) -> Tensor:
    """What lies between ``filled`` members by the gates of their levels: ``[1 + l, ...]``, ``[..., l]`` -> ``[..., *members.shape[1:]]``.

    At a level it is that member's, to the bit.
    """
    shares = functional.pad(gates, (1, 0), value=1.0) - functional.pad(gates, (0, 1))
    return (shares @ members.flatten(1)).view(*gates.shape[:-1], *members.shape[1:])


def wanted(members: Sequence[Tensor], moments: Tensor) -> Tensor:
    """``mean`` and ``log_spread`` of what members add, from wide to narrow, by their values and ``filled`` moments: ``[members, ..., 2, out]``."""
    pairs = [(values, known[..., : values.shape[-2]]) for values, known in zip(members, moments, strict=True)]
    return filled([torch.stack([mean(*pair), log_spread(*pair)], dim=-2) for pair in pairs])


def rescaling(sought: Tensor, values: Tensor, moments: Tensor, scales: Tensor | None = None) -> Tensor:
    """Factors for the rows of a block that bring its spread to the one of ``sought``, ``[..., 2, out]``: ``[..., out]``.

    ``scales`` are logarithms of factors ``[..., out]`` on top of that.
    """
    lacking = (sought[..., 1, :] - log_spread(values, moments)).clamp(-_LIMIT, _LIMIT)
    return (lacking if scales is None else lacking + scales).exp()


def missing(sought: Tensor, values: Tensor, moments: Tensor) -> Tensor:
    """What a block's mean lacks of the one of ``sought``, ``[..., 2, out]``: ``[..., out]``."""
    return sought[..., 0, :] - mean(values, moments)
