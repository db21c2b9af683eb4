"""Coordinates of weights and their encodings.

The paper's coordinate of a weight (eq. 3) is its layer, output and input channel together with the number of layers and
the layer's two sizes. Positions are encoded with several octaves, because weights change from channel to channel; sizes
are encoded slowly (the value and one band), because everything between trained widths is noise otherwise.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from neumeta_core.architecture import Architecture, Widths

_DEFAULT = torch.zeros((), dtype=torch.float32)


def octaves(channels: int) -> int:
    """Bands that a grid of ``channels`` positions in [0, 1) can tell apart; higher ones alias to constants on the grid."""
    return math.ceil(math.log2(max(channels, 2))) + 1


def encode(values: Tensor, bands: int, blur: float = 0.0) -> Tensor:
    """``[v, sin(2^b pi v), cos(2^b pi v) for b < bands]``: shape ``[..., d]`` -> ``[..., d * (1 + 2 * bands)]``, in fp32.

    With ``blur`` a > 0 the mean of the encodings of all values within a of each one, in closed form: a wave of frequency f is
    damped by ``sin(f a) / (f a)`` (integrated positional encoding: mip-NeRF, ICCV 2021, for a uniform density).

    Raw values come first, then all sines, then all cosines. Computed in fp32 at least: bf16 cannot hold ``2^6 pi v``.
    """
    values = values.to(torch.promote_types(values.dtype, torch.float32))
    # Shifted, not raised: CUDA's powers of two are not exact, and a last bit here is many in a fast sine.
    frequencies = math.pi * (torch.ones(bands, dtype=torch.int64, device=values.device) << torch.arange(bands, device=values.device))
    angles = (values.unsqueeze(-1) * frequencies).flatten(-2)
    sines, cosines = angles.sin(), angles.cos()
    if blur:
        damping = torch.sinc(frequencies * (blur / math.pi)).repeat(values.shape[-1])
        sines, cosines = sines * damping, cosines * damping
    return torch.cat([values, sines, cosines], dim=-1)


def positions(channels: int, extent: int, like: Tensor | None = None, noise: Tensor | None = None) -> Tensor:
    """Channel ``k`` at ``(k + noise) / extent``: shape ``[channels]``.

    ``extent`` is the number of channels at hand for relative positions (the network stretches) or the full width for
    absolute ones (narrow networks are prefixes). Type and device are those of ``like``, fp32 on the CPU without it.
    ``noise`` is in channels; it moves positions only, never sizes.
    """
    like = _DEFAULT if like is None else like
    index = torch.arange(channels, dtype=like.dtype, device=like.device)
    # Divided by a tensor: CUDA multiplies by the reciprocal of a number, which is another last bit.
    return (index if noise is None else index + noise.to(index.device)) / torch.full_like(index, extent)


def width_ratios(architecture: Architecture, widths: Widths, like: Tensor | None = None) -> Tensor:
    """Width of every group over its full width: shape ``[groups]``. What every INR is conditioned on."""
    like = _DEFAULT if like is None else like
    return torch.tensor([widths[group.name] / group.full for group in architecture.groups], dtype=like.dtype, device=like.device)


def encode_sizes(ratios: Tensor) -> Tensor:
    """Slow encoding of sizes: the value and one band, with fewer operations than ``encode``: ``[..., n]`` -> ``[..., 3 * n]``."""
    ratios = ratios.to(torch.promote_types(ratios.dtype, torch.float32))
    angles = math.pi * ratios
    return torch.cat([ratios, angles.sin(), angles.cos()], dim=-1)
