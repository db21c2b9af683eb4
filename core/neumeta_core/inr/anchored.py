"""Kind ``anchored``: shared weights, modulated and corrected by small INRs.

A block at given widths is ``A[:o, :i] * exp(s(o; sizes)) + U(o; sizes) V(i; sizes)``: a prefix of the anchor ``A``, scaled per
output channel, plus a correction of low rank. ``s``, ``U`` and ``V`` are coordinate networks of one channel index and of the
sizes of the whole configuration. The scale takes the place of a normalization that was calibrated for these widths and fused.
With levels, the anchors of smaller members are added to the prefix of ``A`` first (``neumeta_core.levels``). With moments, that
sum is corrected before anything else: its rows to the spread, and the bias of its layer to the mean, that lie between those of the
levels (``moments``); a network of the sizes may scale them further (``row_scales``). An exact INR has the anchors alone in the full
network and at the levels: what networks make is faded out towards these members.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from neumeta_core.architecture import Architecture, Widths
from neumeta_core.blocks import Block, bias_blocks, parameter_blocks
from neumeta_core.configuration import Configuration
from neumeta_core.coordinates import encode_sizes, width_ratios
from neumeta_core.errors import InvalidField
from neumeta_core.inr.base import INR, Blur, Noise
from neumeta_core.inr.channel import ChannelINR
from neumeta_core.inr.moments import MOMENTS, between, filled, missing, rescaling, wanted
from neumeta_core.inr.row_scales import RowScales
from neumeta_core.inr.settings import AnchoredSettings, InrSettings
from neumeta_core.levels import distance_to_nearest, level_configurations, level_gates

_REACH = 1 / 8
"""Distance from the nearest member that is exact beyond which networks count in full: half of a way between levels a quarter apart."""


class AnchoredBlock(nn.Module):
    """The anchor of one block and the INRs that modulate it."""

    spread: Tensor
    moments: Tensor | None
    """Of the inputs, in the full network and at every level, as ``moments.filled``: ``[1 + levels, MOMENTS, in]``; zero if not measured."""

    def __init__(
        self, block: Block, shapes: Sequence[tuple[int, int, int]], settings: AnchoredSettings, conditions: int, *, has_moments: bool
    ) -> None:
        super().__init__()
        out, in_, taps = shapes[0]
        self.shapes = shapes
        """In the full network and at every level."""
        self.rank = 1 if block.is_vector else settings.rank
        self.anchor, *smaller = (nn.Parameter(torch.zeros(shape), requires_grad=not settings.exact) for shape in shapes)
        self.level_anchors = nn.ParameterList(smaller)
        # A vector has no input channel: its correction is a function of the output channel alone.
        self.from_out = ChannelINR(out, conditions, settings.hidden, 1 + self.rank, zero=True)
        self.from_in = None if block.is_vector else ChannelINR(in_, conditions, settings.hidden, self.rank * taps, zero=False)
        self.register_buffer("spread", torch.ones(()))
        self.register_buffer("moments", torch.zeros(len(shapes), MOMENTS, in_) if has_moments else None)

    def forward(
        self, shape: tuple[int, int, int], gates: Sequence[float], conditions: Tensor, noise: Noise | Blur | None, scales: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Values ``[out, in, taps]``, and what they lack for the bias of the layer to add: ``[out]``, where the block has moments.

        ``gates`` are those of ``AnchoredINR.gates``, ``scales`` those of ``AnchoredINR.scales_at``.
        """
        out, in_, taps = shape
        *anchor_gates, network_gate = gates
        # Vectors carry no noise: it would move biases that no neighbour smooths.
        made = network_gate * self.from_out(out, conditions, None if self.from_in is None else noise)
        scale, left = made[:, :1].exp(), made[:, 1:]
        if self.from_in is None:
            correction = left.unsqueeze(-1)
        else:
            right = self.from_in(in_, conditions, noise).view(in_, self.rank, taps)
            correction = torch.einsum("or,irt->oit", left, right)
        anchored = self.anchored(shape, anchor_gates)
        if self.moments is None:
            return anchored * scale.unsqueeze(-1) + self.spread * correction, None
        opened, members = conditions.new_tensor(anchor_gates), [self.anchored(each, [1.0] * level) for level, each in enumerate(self.shapes)]
        moments, sought = between(self.moments, opened)[:, :in_], between(wanted(members, self.moments), opened)[:, :out]
        scale = scale * rescaling(sought, anchored, moments, None if scales is None else scales[:out]).unsqueeze(-1)
        values = anchored * scale.unsqueeze(-1) + self.spread * correction
        return values, missing(sought, values, moments)

    def anchored(self, shape: tuple[int, int, int], gates: Sequence[float]) -> Tensor:
        """The sum of the anchors' prefixes: ``[out, in, taps]``; missing gates are zero."""
        out, in_, _ = shape
        total = self.anchor[:out, :in_]
        for gate, anchor in zip(gates, self.level_anchors, strict=False):
            # Closed levels take part while gradients are recorded: processes that train together all have to use the same parameters.
            if gate or anchor.requires_grad:
                prefix = anchor[:out, :in_]
                total = total + gate * nn.functional.pad(prefix, (0, 0, 0, in_ - prefix.shape[1], 0, out - prefix.shape[0]))
        return total


class AnchoredINR(INR):
    """One ``AnchoredBlock`` a block. Without moments it reproduces prefixes of the anchor before it is trained."""

    def __init__(self, architecture: Architecture, settings: AnchoredSettings) -> None:
        super().__init__(architecture)
        self.settings = settings
        conditions = 3 * len(architecture.groups)
        self._levels = level_configurations(architecture, settings.levels)
        self._exact = exact_members(architecture, settings)
        widths = [architecture.full_widths, *self._levels]
        self.bias_blocks = bias_blocks(architecture) if settings.moments else {}
        """Blocks that have moments -> those of their layer's bias."""
        self.blocks = nn.ModuleList(
            AnchoredBlock(block, [block.shape(each) for each in widths], settings, conditions, has_moments=block.name in self.bias_blocks)
            for block in self.layout
        )
        self.scaled_rows = {block.name: block.shape(architecture.full_widths)[0] for block in self.layout if block.name in self.bias_blocks}
        """Blocks that have moments -> rows that they have at full width, in the order of ``row_scales``."""
        has_scales = settings.scales and self.scaled_rows
        self.row_scales = RowScales(conditions, settings.scales, sum(self.scaled_rows.values())) if has_scales else None

    @property
    def levels(self) -> Sequence[Configuration]:
        """The members that have an anchor of their own."""
        return self._levels

    @property
    def exact(self) -> Sequence[Configuration]:
        """The full network and the members of the levels, if the settings say so."""
        return self._exact

    def start_block(self, index: int, values: Tensor, *smaller: Tensor) -> None:
        """Take the full network's values as anchor, their spread as the unit of the correction, and what smaller members lack as their anchors."""
        block = cast("AnchoredBlock", self.blocks[index])
        block.anchor.copy_(values)
        block.spread.copy_(values.square().mean().sqrt().clamp_min(1e-3))
        for level, trained in enumerate(smaller):
            out, in_, taps = trained.shape
            block.level_anchors[level].copy_(trained - block.anchored((out, in_, taps), [1.0] * level))

    @torch.no_grad()
    def take_moments(self, *members: Mapping[str, Tensor]) -> None:
        """Moments of what flows into the full network's layers and then into those of every level: weight -> ``[MOMENTS, in channels]``.

        The layers of weights that are not named stay as they are between levels.
        """
        widths = [self.architecture.full_widths, *self._levels]
        for block, module in zip(self.layout, self.blocks, strict=True):
            if block.name in self.bias_blocks and block.parameter.name in members[0]:
                segments = parameter_blocks(block.parameter)[block.row]
                given = [
                    torch.split(values[block.parameter.name], [part.in_.channels(each) for part in segments], dim=-1)[block.column]
                    for each, values in zip(widths, members, strict=True)
                ]
                cast("Tensor", module.moments).copy_(filled(given))

    def gates(self, widths: Widths) -> list[float]:
        """One of every level's anchor (``levels.level_gates``), and that of the networks."""
        anchor_gates = level_gates(self.architecture, self._levels, widths)
        network_gate = min(1.0, distance_to_nearest(self.architecture, self._exact, widths) / _REACH) if self._exact else 1.0
        return [*anchor_gates, network_gate]

    def scales_at(self, network: RowScales | None, conditions: Tensor, network_gate: float | Tensor) -> dict[str, Tensor]:
        """Logarithms of factors for the rows of every block in ``scaled_rows``: ``[..., out]``, at encoded sizes ``[..., c]``.

        ``network`` is ``row_scales`` or a copy of it, ``network_gate`` the last of ``gates``, ``[..., 1]`` where it is a tensor. Empty without one.
        """
        if network is None:
            return {}
        scales = network(conditions) * network_gate
        return dict(zip(self.scaled_rows, torch.split(scales, list(self.scaled_rows.values()), dim=-1), strict=True))

    def check_widths(self, widths: Widths) -> None:
        """InvalidField above the full width."""
        for group in self.architecture.groups:
            if widths[group.name] > group.full:
                expected = f"at most {group.full}, for an anchored manifold has no weights beyond its anchor"
                raise InvalidField(f"widths.{group.name}", widths[group.name], expected)

    def make_blocks(self, widths: Widths, noise: Noise | Blur | None) -> dict[str, Tensor]:
        """Block name -> values ``[out, in, taps]`` at these widths."""
        conditions = encode_sizes(width_ratios(self.architecture, widths, next(self.parameters())))
        opened = self.gates(widths)
        scales = self.scales_at(self.row_scales, conditions, opened[-1])
        found = {
            block.name: module(block.shape(widths), opened, conditions, noise, scales.get(block.name))
            for block, module in zip(self.layout, self.blocks, strict=True)
        }
        made = {name: values for name, (values, _) in found.items()}
        self.add_to_biases(made, {name: lacking for name, (_, lacking) in found.items() if lacking is not None})
        return made

    def add_to_biases(self, made: dict[str, Tensor], lacking: Mapping[str, Tensor]) -> None:
        """Add what blocks of weights lack, ``[..., out]`` by name, to those of their biases in ``made``."""
        for name, values in lacking.items():
            made[self.bias_blocks[name]] = made[self.bias_blocks[name]] + values[..., None, None]

    def coordinate_parameters(self) -> int:
        """Stored values of the modulating networks; anchors are plain weights, and moments are measured."""
        return sum(tensor.numel() for name, tensor in self.state_dict().items() if "anchor" not in name and "moments" not in name)


def exact_members(architecture: Architecture, settings: InrSettings) -> list[Configuration]:
    """Members that an INR with these settings has from its anchors alone, whatever its networks make."""
    if not isinstance(settings, AnchoredSettings) or not settings.exact:
        return []
    return [Configuration.of(architecture.full_widths), *level_configurations(architecture, settings.levels)]
