"""Kinds whose blocks are products of channel networks, ``anchored`` and ``factorised``: one member at its own widths.

A stack is cut to its largest member at the widths that are asked for, so the cost follows the size of the member and not that of
the full network.
"""

from __future__ import annotations

import torch
from torch import Tensor

from neumeta_core.architecture import Widths
from neumeta_core.coordinates import encode_sizes, width_ratios
from neumeta_core.inr import AnchoredINR, Blur, FactorisedINR
from neumeta_core.materialize.stacks import find_alike, stacked


class ChannelProducts:
    """All blocks of one INR."""

    @torch.no_grad()
    def __init__(self, inr: AnchoredINR | FactorisedINR, blur: Blur | None) -> None:
        self._inr = inr
        self._stacks = [(alike.indices, alike.stack()) for alike in find_alike(inr, blur)]
        self._like = torch.empty(0, device=next(inr.parameters()).device)

    def __call__(self, widths: Widths) -> dict[str, Tensor]:
        """Block name -> values ``[out, in, taps]``; InvalidField for widths that the kind cannot make."""
        inr = self._inr
        inr.check_widths(widths)
        conditions = encode_sizes(width_ratios(inr.architecture, widths, self._like))
        opened = inr.gates(widths)
        # Exact members, whose gate is closed, are not scaled.
        scales = inr.scales_at(inr.row_scales, conditions, opened[-1]) if isinstance(inr, AnchoredINR) and opened[-1] else {}
        made: dict[str, Tensor] = {}
        lacking: dict[str, Tensor] = {}
        for members, stack in self._stacks:
            blocks = [inr.layout[index] for index in members]
            shapes = [block.shape(widths) for block in blocks]
            rows = stacked(scales, [block.name for block in blocks])
            values, lacks = stack.make(max(shape[0] for shape in shapes), [shape[1] for shape in shapes], conditions, opened, rows)
            made |= {block.name: values[k, : shapes[k][0], : shapes[k][1]] for k, block in enumerate(blocks)}
            if lacks is not None:
                lacking |= {block.name: lacks[k, : shapes[k][0]] for k, block in enumerate(blocks)}
        if isinstance(inr, AnchoredINR):
            inr.add_to_biases(made, lacking)
        return made
