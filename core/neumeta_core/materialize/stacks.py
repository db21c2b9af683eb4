"""Blocks of equal shape, made together: the kinds whose blocks are products of channel networks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from neumeta_core.inr import AnchoredINR, Blur, FactorisedINR
from neumeta_core.inr.anchored import AnchoredBlock
from neumeta_core.inr.channel import ChannelINR
from neumeta_core.inr.factorised import FactorisedBlock
from neumeta_core.inr.moments import between, missing, rescaling, wanted
from neumeta_core.materialize.channels import ChannelGrid, ChannelStack

Blocks = Sequence[AnchoredBlock] | Sequence[FactorisedBlock]
Made = tuple[Tensor, Tensor | None]
"""Values of blocks; and, where they have moments, what the biases of their layers have to add to reach the known mean."""


class Alike:
    """Blocks of one INR whose networks have equal shapes, so that one batched product makes them all; and the grids of their channels."""

    def __init__(self, indices: Sequence[int], blocks: Blocks, blur: Blur | None) -> None:
        self.indices = indices
        """Where the blocks stand in the layout."""
        self._blocks = blocks
        first = blocks[0]
        self.has_moments = isinstance(first, AnchoredBlock) and first.moments is not None
        # Vectors carry no noise: it would move biases that no neighbour smooths.
        self._left = ChannelGrid(first.from_out, blur if first.from_in is not None else None)
        self._right = ChannelGrid(first.from_in, blur) if first.from_in is not None else None

    def stack(self) -> AnchoredStack | FactorisedStack:
        """The blocks as they are now, differentiable with respect to them where gradients are recorded."""
        left = ChannelStack([block.from_out for block in self._blocks], self._left)
        right = ChannelStack([cast("ChannelINR", block.from_in) for block in self._blocks], self._right) if self._right is not None else None
        if isinstance(self._blocks[0], AnchoredBlock):
            return AnchoredStack(cast("Sequence[AnchoredBlock]", self._blocks), left, right)
        return FactorisedStack(self._blocks[0].rank, left, right)


def find_alike(inr: AnchoredINR | FactorisedINR, blur: Blur | None) -> list[Alike]:
    """All blocks of an INR, by what they have to share to be stacked."""
    blocks = cast("Sequence[AnchoredBlock]", inr.blocks)  # or all factorised
    alike: dict[object, list[int]] = defaultdict(list)
    for index, block in enumerate(blocks):
        alike[_form(block)].append(index)
    return [Alike(indices, [blocks[index] for index in indices], blur) for indices in alike.values()]


class FactorisedStack:
    """``n`` blocks: products of their two networks, or one network alone for vectors."""

    def __init__(self, rank: int, left: ChannelStack, right: ChannelStack | None) -> None:
        self._rank, self._left, self._right = rank, left, right

    def make(self, out: int, in_: Sequence[int], conditions: Tensor, _gates: Sequence[float], _scales: Tensor | None) -> Made:
        """Values ``[n, out, max(in), taps]`` at encoded sizes ``[c]``."""
        left = self._left(out, conditions)
        if self._right is None:
            return left.unsqueeze(2), None
        return torch.bmm(left, _factor(self._right(max(in_), conditions), self._rank)).view(len(left), out, max(in_), -1), None

    def make_full(self, _present: Tensor | None, conditions: Tensor, _gates: Tensor, _scales: Tensor | None) -> Made:
        """Values ``[n, m, out, in, taps]`` at full extents for m members at encoded sizes ``[m, c]``."""
        left = self._left.all_channels(conditions)
        if self._right is None:
            return left.unsqueeze(3), None
        right = self._right.all_channels(conditions)
        made = torch.bmm(left.flatten(0, 1), _factor(right.flatten(0, 1), self._rank))
        return made.view(*left.shape[:3], right.shape[2], -1), None


class AnchoredStack:
    """``n`` blocks: their anchors, scaled and corrected."""

    def __init__(self, blocks: Sequence[AnchoredBlock], left: ChannelStack, right: ChannelStack | None) -> None:
        self._rank, self._left, self._right = blocks[0].rank, left, right
        spread = torch.stack([block.spread for block in blocks])
        if right is None:
            left.scale_outputs(spread, start=1)
        else:
            right.scale_outputs(spread)
        self._anchor = torch.stack([block.anchor for block in blocks])
        self._levels = [torch.stack([block.level_anchors[level] for block in blocks]) for level in range(len(blocks[0].level_anchors))]
        self._moments, self._wanted = None, None
        if blocks[0].moments is not None:
            self._moments = torch.stack([cast("Tensor", block.moments) for block in blocks], dim=1)
            members = [self._anchored(out, in_, [1.0] * level) for level, (out, in_, _) in enumerate(blocks[0].shapes)]
            self._wanted = wanted(members, self._moments)

    def make(self, out: int, in_: Sequence[int], conditions: Tensor, gates: Sequence[float], scales: Tensor | None) -> Made:
        """Values ``[n, out, max(in), taps]`` at encoded sizes ``[c]`` and gates of ``AnchoredINR.gates``, of blocks with ``in`` input channels.

        ``scales`` are those of ``AnchoredINR.scales_at``, ``[n, full out]``.
        """
        most = max(in_)
        *anchor_gates, network_gate = gates
        anchored = self._anchored(out, most, anchor_gates)
        if network_gate == 0:
            # An exact member: rows have the spread that is wanted, and biases lack nothing. Never the anchors themselves, which have to stay.
            return anchored if any(anchor_gates) else anchored.clone(), None
        made, right = self._left(out, conditions) * network_gate, None if self._right is None else self._right(most, conditions)
        if self._moments is None or self._wanted is None:
            return self._modulated(anchored, made, right), None
        opened = conditions.new_tensor(anchor_gates)
        moments, sought = between(self._moments, opened)[..., :most], between(self._wanted, opened)[..., :out]
        if min(in_) < most:
            moments = moments * within(most, conditions.new_tensor(in_)).unsqueeze(1)
        return self._balanced(anchored, made, right, moments, sought, None if scales is None else scales[:, :out])

    def make_full(self, present: Tensor | None, conditions: Tensor, gates: Tensor, scales: Tensor | None) -> Made:
        """Values ``[n, m, out, in, taps]`` at full extents for m members at encoded sizes ``[m, c]`` and gates ``[m, levels + 1]``.

        For blocks with moments: ``present`` tells which input channels members have, ``[n, m, in]``, and ``scales`` are those of
        ``AnchoredINR.scales_at``, ``[n, m, out]``.
        """
        anchor_gates, network_gates = gates[:, :-1], gates[:, -1]
        made = self._left.all_channels(conditions) * network_gates.view(-1, 1, 1)
        anchored, right = self._anchored_full(anchor_gates), None if self._right is None else self._right.all_channels(conditions)
        if self._moments is None or self._wanted is None or present is None:
            return self._modulated(anchored, made, right), None
        moments = between(self._moments, anchor_gates).transpose(0, 1) * present.unsqueeze(2)
        return self._balanced(anchored, made, right, moments, between(self._wanted, anchor_gates).transpose(0, 1), scales)

    def _balanced(self, anchored: Tensor, made: Tensor, right: Tensor | None, moments: Tensor, sought: Tensor, scales: Tensor | None) -> Made:
        """Values whose rows have the spread that is wanted, times what ``scales`` say, and what they lack: ``[..., out]``."""
        rows = rescaling(sought, anchored, moments, scales)
        values = self._modulated(anchored, made, right, rows.unsqueeze(-1))
        return values, missing(sought, values, moments)

    def _modulated(self, anchored: Tensor, made: Tensor, right: Tensor | None, rows: Tensor | None = None) -> Tensor:
        """Anchors ``[n, (m,) out, in, taps]``, scaled and corrected by what the networks made."""
        scale, left = made[..., :1].exp(), made[..., 1:]
        scaled = anchored * (scale if rows is None else scale * rows).unsqueeze(-1)
        if right is None:
            return scaled + left.unsqueeze(-1)
        members = scaled.dim() - 3
        factors = _factor(right.flatten(0, members - 1), self._rank)
        return torch.baddbmm(scaled.flatten(0, members - 1).flatten(2), left.flatten(0, members - 1), factors).view(scaled.shape)

    def _anchored(self, out: int, in_: int, gates: Sequence[float]) -> Tensor:
        """The sum of the anchors' prefixes: ``[n, out, in, taps]``; missing gates are zero."""
        total = self._anchor[:, :out, :in_]
        if any(gates):
            total = total.clone()
        for gate, anchor in zip(gates, self._levels, strict=False):
            if gate:
                part = anchor[:, :out, :in_]
                total[:, : part.shape[1], : part.shape[2]].add_(part, alpha=gate)
        return total

    def _anchored_full(self, gates: Tensor) -> Tensor:
        """``[n, m, out, in, taps]``, or ``[n, 1, …]`` without levels. Closed gates are multiplied too: looking at them would wait for the device."""
        total = self._anchor.unsqueeze(1)
        _, _, out, in_, _ = total.shape
        for gate, anchor in zip(gates.unbind(1), self._levels, strict=True):
            padded = functional.pad(anchor, (0, 0, 0, in_ - anchor.shape[2], 0, out - anchor.shape[1]))
            total = torch.addcmul(total, gate.view(-1, 1, 1, 1), padded.unsqueeze(1))
        return total


def stacked(scales: Mapping[str, Tensor], names: Sequence[str]) -> Tensor | None:
    """Scales ``[..., out]`` of blocks by name, as ``[n, ..., out]``, where they have some: all blocks of a stack do, or none."""
    return torch.stack([scales[name] for name in names]) if names[0] in scales else None


def within(channels: int, widths: Tensor) -> Tensor:
    """Which of the first channels are within widths ``[...]``: bool ``[..., channels]``."""
    # Half a channel apart, for widths may have been made from ratios.
    return torch.arange(channels, device=widths.device) < widths.unsqueeze(-1) - 0.5


def _form(block: AnchoredBlock | FactorisedBlock) -> object:
    """What blocks have to share to be stacked."""
    channels = [network.channels for network in (block.from_out, block.from_in) if network is not None]
    moments = isinstance(block, AnchoredBlock) and block.moments is not None
    return type(block), moments, tuple(channels), tuple(parameter.shape for parameter in block.parameters())


def _factor(right: Tensor, rank: int) -> Tensor:
    """``[n, in, rank * taps]`` -> ``[n, rank, in * taps]``."""
    blocks, in_, _ = right.shape
    return right.view(blocks, in_, rank, -1).transpose(1, 2).reshape(blocks, rank, -1)
