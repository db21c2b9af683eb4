"""Kind ``anchored``: shared weights, modulated and corrected by small INRs.

A block at given widths is ``A[:o, :i] * exp(s(o; sizes)) + U(o; sizes) V(i; sizes)``: a prefix of the anchor ``A``, scaled per
output channel, plus a correction of low rank. ``s``, ``U`` and ``V`` are coordinate networks of one channel index and of the
sizes of the whole configuration. The scale takes the place of a normalization that was calibrated for these widths and fused.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from neumeta_core.architecture import Architecture, Widths
from neumeta_core.blocks import Block
from neumeta_core.coordinates import encode_sizes, width_ratios
from neumeta_core.errors import InvalidField
from neumeta_core.inr.base import INR, Blur, Noise
from neumeta_core.inr.channel import ChannelINR
from neumeta_core.inr.settings import AnchoredSettings


class AnchoredBlock(nn.Module):
    """The anchor of one block and the INRs that modulate it."""

    spread: Tensor

    def __init__(self, block: Block, full_shape: tuple[int, int, int], settings: AnchoredSettings, conditions: int) -> None:
        super().__init__()
        out, in_, taps = full_shape
        self.rank = 1 if block.is_vector else settings.rank
        self.anchor = nn.Parameter(torch.zeros(out, in_, taps))
        # A vector has no input channel: its correction is a function of the output channel alone.
        self.from_out = ChannelINR(out, conditions, settings.hidden, 1 + self.rank, zero=True)
        self.from_in = None if block.is_vector else ChannelINR(in_, conditions, settings.hidden, self.rank * taps, zero=False)
        self.register_buffer("spread", torch.ones(()))

    def forward(self, shape: tuple[int, int, int], conditions: Tensor, noise: Noise | Blur | None) -> Tensor:
        """Values ``[out, in, taps]``."""
        out, in_, taps = shape
        # Vectors carry no noise: it would move biases that no neighbour smooths.
        made = self.from_out(out, conditions, None if self.from_in is None else noise)
        scale, left = made[:, :1].exp(), made[:, 1:]
        if self.from_in is None:
            correction = left.unsqueeze(-1)
        else:
            right = self.from_in(in_, conditions, noise).view(in_, self.rank, taps)
            correction = torch.einsum("or,irt->oit", left, right)
        modulated: Tensor = self.anchor[:out, :in_] * scale.unsqueeze(-1) + self.spread * correction
        return modulated


class AnchoredINR(INR):
    """One ``AnchoredBlock`` a block. Reproduces prefixes of the anchor before it is trained."""

    def __init__(self, architecture: Architecture, settings: AnchoredSettings) -> None:
        super().__init__(architecture)
        self.settings = settings
        conditions = 3 * len(architecture.groups)
        blocks = zip(self.layout, self.full_shapes, strict=True)
        self.blocks = nn.ModuleList(AnchoredBlock(block, shape, settings, conditions) for block, shape in blocks)

    def start_block(self, index: int, values: Tensor) -> None:
        """Take the full network's values as anchor, and their spread as the unit of the correction."""
        block = cast("AnchoredBlock", self.blocks[index])
        block.anchor.copy_(values)
        block.spread.copy_(values.square().mean().sqrt().clamp_min(1e-3))

    def make_blocks(self, widths: Widths, noise: Noise | Blur | None) -> dict[str, Tensor]:
        """Block name -> values ``[out, in, taps]`` at these widths; InvalidField above the full width."""
        for group in self.architecture.groups:
            if widths[group.name] > group.full:
                expected = f"at most {group.full}, for an anchored manifold has no weights beyond its anchor"
                raise InvalidField(f"widths.{group.name}", widths[group.name], expected)
        conditions = encode_sizes(width_ratios(self.architecture, widths, next(self.parameters())))
        return {block.name: module(block.shape(widths), conditions, noise) for block, module in zip(self.layout, self.blocks, strict=True)}

    def coordinate_parameters(self) -> int:
        """Stored values of the modulating networks; the anchors are plain weights."""
        return sum(tensor.numel() for name, tensor in self.state_dict().items() if not name.endswith("anchor"))
