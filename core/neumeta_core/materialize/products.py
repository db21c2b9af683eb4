"""Kinds whose blocks are products of channel networks: ``anchored`` and ``factorised``.

Blocks of equal shape are made together. A stack is cut to its largest member at the widths that are asked for, so the cost
follows the size of the member and not that of the full network.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from neumeta_core.architecture import Widths
from neumeta_core.coordinates import encode_sizes, width_ratios
from neumeta_core.inr import AnchoredINR, Blur, FactorisedINR
from neumeta_core.inr.anchored import AnchoredBlock
from neumeta_core.inr.factorised import FactorisedBlock
from neumeta_core.levels import gates
from neumeta_core.materialize.channels import ChannelStack


class ChannelProducts:
    """All blocks of one INR."""

    @torch.no_grad()
    def __init__(self, inr: AnchoredINR | FactorisedINR, blur: Blur | None) -> None:
        self._inr = inr
        blocks = cast("Sequence[AnchoredBlock]", inr.blocks)  # or all factorised
        alike: dict[object, list[int]] = defaultdict(list)
        for index, block in enumerate(blocks):
            alike[_form(block)].append(index)
        self._stacks = [(members, _stack([blocks[index] for index in members], blur)) for members in alike.values()]
        self._like = torch.empty(0, device=next(inr.parameters()).device)

    def __call__(self, widths: Widths) -> dict[str, Tensor]:
        """Block name -> values ``[out, in, taps]``; InvalidField for widths that the kind cannot make."""
        inr = self._inr
        inr.check_widths(widths)
        conditions = encode_sizes(width_ratios(inr.architecture, widths, self._like))
        opened = gates(inr.architecture, inr.levels, widths)
        made: dict[str, Tensor] = {}
        for members, stack in self._stacks:
            shapes = [inr.layout[index].shape(widths) for index in members]
            values = stack.make(max(shape[0] for shape in shapes), max(shape[1] for shape in shapes), conditions, opened)
            made |= {inr.layout[index].name: values[k, : shapes[k][0], : shapes[k][1]] for k, index in enumerate(members)}
        return made


class FactorisedStack:
    """``n`` blocks: products of their two networks, or one network alone for vectors."""

    def __init__(self, blocks: Sequence[FactorisedBlock], blur: Blur | None) -> None:
        self._rank = blocks[0].rank
        self._left, self._right = _networks(blocks, blur)

    def make(self, out: int, in_: int, conditions: Tensor, _gates: Sequence[float]) -> Tensor:
        """Values ``[n, out, in, taps]``."""
        left = self._left(out, conditions)
        if self._right is None:
            return left.unsqueeze(2)
        return torch.bmm(left, _factor(self._right(in_, conditions), self._rank)).view(len(left), out, in_, -1)


class AnchoredStack:
    """``n`` blocks: their anchors, scaled and corrected."""

    def __init__(self, blocks: Sequence[AnchoredBlock], blur: Blur | None) -> None:
        self._rank = blocks[0].rank
        self._left, self._right = _networks(blocks, blur)
        spread = torch.stack([block.spread for block in blocks])
        if self._right is None:
            self._left.scale_outputs(spread, start=1)
        else:
            self._right.scale_outputs(spread)
        self._anchor = torch.stack([block.anchor for block in blocks])
        self._levels = [torch.stack([block.level_anchors[level] for block in blocks]) for level in range(len(blocks[0].level_anchors))]

    def make(self, out: int, in_: int, conditions: Tensor, gates: Sequence[float]) -> Tensor:
        """Values ``[n, out, in, taps]``."""
        made = self._left(out, conditions)
        scale, left = made[..., :1].exp(), made[..., 1:]
        scaled = self._anchored(out, in_, gates) * scale.unsqueeze(-1)
        if self._right is None:
            return scaled + left.unsqueeze(-1)
        right = _factor(self._right(in_, conditions), self._rank)
        return torch.baddbmm(scaled.flatten(2), left, right).view(scaled.shape)

    def _anchored(self, out: int, in_: int, gates: Sequence[float]) -> Tensor:
        total = self._anchor[:, :out, :in_]
        if any(gates):
            total = total.clone()
        for gate, anchor in zip(gates, self._levels, strict=True):
            if gate:
                part = anchor[:, :out, :in_]
                total[:, : part.shape[1], : part.shape[2]].add_(part, alpha=gate)
        return total


def _stack(blocks: Sequence[AnchoredBlock] | Sequence[FactorisedBlock], blur: Blur | None) -> AnchoredStack | FactorisedStack:
    if isinstance(blocks[0], AnchoredBlock):
        return AnchoredStack(cast("Sequence[AnchoredBlock]", blocks), blur)
    return FactorisedStack(cast("Sequence[FactorisedBlock]", blocks), blur)


def _form(block: AnchoredBlock | FactorisedBlock) -> object:
    """What blocks have to share to be stacked."""
    channels = [network.channels for network in (block.from_out, block.from_in) if network is not None]
    return type(block), tuple(channels), tuple(parameter.shape for parameter in block.parameters())


def _factor(right: Tensor, rank: int) -> Tensor:
    """``[n, in, rank * taps]`` -> ``[n, rank, in * taps]``."""
    blocks, in_, _ = right.shape
    return right.view(blocks, in_, rank, -1).transpose(1, 2).reshape(blocks, rank, -1)


def _networks(blocks: Sequence[AnchoredBlock] | Sequence[FactorisedBlock], blur: Blur | None) -> tuple[ChannelStack, ChannelStack | None]:
    rights = [block.from_in for block in blocks if block.from_in is not None]
    # Vectors carry no noise: it would move biases that no neighbour smooths.
    left = ChannelStack([block.from_out for block in blocks], blur if rights else None)
    return left, ChannelStack(rights, blur) if rights else None
