"""Kind ``factorised``: every block is a product of two coordinate networks of one channel index each.

A block at given widths is ``W[o, i, t] = sum_r A_r(o; sizes) B_rt(i; sizes)``. That takes ``out + in`` evaluations where a
network of both indices takes ``out * in``, and nothing is stored but coordinate networks.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from neumeta_core.architecture import Architecture, Widths
from neumeta_core.blocks import Block
from neumeta_core.coordinates import encode_sizes, width_ratios
from neumeta_core.inr.base import INR, Blur, Noise
from neumeta_core.inr.channel import ChannelINR
from neumeta_core.inr.settings import FactorisedSettings

_RIDGE = 1e-6
"""Of the solved output layers, relative to the mean square of their inputs: keeps their weights small where features are alike."""
_GAIN = 6.0
"""On the first layer: default initialization gives neighbouring channels features so alike that no small output layer tells them apart."""


class FactorisedBlock(nn.Module):
    """The two networks of one block; a vector has the first one alone."""

    def __init__(self, block: Block, full_shape: tuple[int, int, int], settings: FactorisedSettings, conditions: int) -> None:
        super().__init__()
        out, in_, taps = full_shape
        self.full_shape = full_shape
        self.rank = 1 if block.is_vector else min(settings.rank, out, in_ * taps)
        self.from_out = ChannelINR(out, conditions, _hidden(settings, out), self.rank * (taps if block.is_vector else 1), zero=False)
        self.from_in = None if block.is_vector else ChannelINR(in_, conditions, _hidden(settings, in_), self.rank * taps, zero=False)
        for network in (self.from_out, self.from_in):
            if network is not None:  # sizes are learned: before that, narrow networks are prefixes
                nn.init.zeros_(network.from_sizes.weight)
                with torch.no_grad():
                    network.from_channel.weight *= _GAIN

    def forward(self, shape: tuple[int, int, int], conditions: Tensor, noise: Noise | Blur | None) -> Tensor:
        """Values ``[out, in, taps]``."""
        out, in_, taps = shape
        if self.from_in is None:  # vectors carry no noise: it would move biases that no neighbour smooths
            return cast("Tensor", self.from_out(out, conditions, None)).view(out, in_, taps)
        left: Tensor = self.from_out(out, conditions, noise)
        right: Tensor = self.from_in(in_, conditions, noise).view(in_, self.rank, taps)
        # One product whose result is row-major: einsum gives kernels of one tap strides that the backward pass of a convolution on the
        # CPU mistakes for channels-last, and it writes beyond its memory (pytorch/pytorch#195394).
        return (left @ right.transpose(0, 1).flatten(1)).view(out, in_, taps)

    def start(self, values: Tensor, conditions: Tensor) -> None:
        """Solve the output layers for the values ``[out, in, taps]`` of the full network: their best approximation of this rank."""
        _, in_, taps = self.full_shape
        if self.from_in is None:
            _solve(self.from_out, conditions, values.flatten(1))
            return
        left, spectrum, right = torch.linalg.svd(values.flatten(1).double(), full_matrices=False)
        root = spectrum[: self.rank].sqrt()
        factor = (root.unsqueeze(1) * right[: self.rank]).view(self.rank, in_, taps)
        _solve(self.from_out, conditions, left[:, : self.rank] * root)
        _solve(self.from_in, conditions, factor.transpose(0, 1).flatten(1))


class FactorisedINR(INR):
    """One ``FactorisedBlock`` a block. After ``start_from`` it makes the full network as well as rank and hidden units allow."""

    def __init__(self, architecture: Architecture, settings: FactorisedSettings) -> None:
        super().__init__(architecture)
        self.settings = settings
        conditions = 3 * len(architecture.groups)
        blocks = zip(self.layout, self.full_shapes, strict=True)
        self.blocks = nn.ModuleList(FactorisedBlock(block, shape, settings, conditions) for block, shape in blocks)

    def start_block(self, index: int, values: Tensor, *_smaller: Tensor) -> None:
        """Reproduce the full network's values."""
        cast("FactorisedBlock", self.blocks[index]).start(values, self._conditions(self.architecture.full_widths))

    def make_blocks(self, widths: Widths, noise: Noise | Blur | None) -> dict[str, Tensor]:
        """Block name -> values ``[out, in, taps]`` at these widths."""
        conditions = self._conditions(widths)
        return {block.name: module(block.shape(widths), conditions, noise) for block, module in zip(self.layout, self.blocks, strict=True)}

    def _conditions(self, widths: Widths) -> Tensor:
        return encode_sizes(width_ratios(self.architecture, widths, next(self.parameters())))

    def coordinate_parameters(self) -> int:
        """All stored values: this kind is nothing but coordinate networks."""
        return sum(tensor.numel() for tensor in self.state_dict().values())


def _hidden(settings: FactorisedSettings, channels: int) -> int:
    """More features than twice the channels of a grid say nothing more about it."""
    return min(settings.hidden, max(16, 2 * channels))


def _solve(network: ChannelINR, conditions: Tensor, wanted: Tensor) -> None:
    """Ridge regression of the output layer: all channels -> ``wanted [channels, outputs]``."""
    features = network.features(network.channels, conditions, None).double()
    features = torch.cat([features, features.new_ones(len(features), 1)], dim=1)
    gram = features @ features.T
    gram += _RIDGE * gram.diagonal().mean() * torch.eye(len(features), dtype=gram.dtype, device=gram.device)
    solved = features.T @ torch.linalg.solve(gram, wanted.double())
    network.out.weight.copy_(solved[:-1].T)
    network.out.bias.copy_(solved[-1])
