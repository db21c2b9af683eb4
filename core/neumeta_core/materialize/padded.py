"""Several members at once, each at the full extents of the network: the shapes of all tensors are the same for every member.

So nothing has to be known of the widths on the host: they are numbers on the device, and the operations can be recorded once
(CUDA graphs, compilers) and repeated for other members.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from neumeta_core.blocks import join
from neumeta_core.coordinates import encode_sizes
from neumeta_core.inr import AnchoredINR, Blur, FactorisedINR
from neumeta_core.materialize.stacks import find_alike, stacked, within


class PaddedProducts:
    """All parameters of one INR of kind ``anchored`` or ``factorised``.

    Reads the INR's parameters at every call and is differentiable with respect to them; with ``frozen`` it copies them once, here,
    without gradients.
    """

    def __init__(self, inr: AnchoredINR | FactorisedINR, blur: Blur | None = None, *, frozen: bool = False) -> None:
        self._inr = inr
        row_scales = inr.row_scales if isinstance(inr, AnchoredINR) else None
        self._row_scales = copy.deepcopy(row_scales).requires_grad_(False) if row_scales is not None and frozen else row_scales
        with torch.no_grad():
            self._alike = find_alike(inr, blur)
            self._stacks = [alike.stack() for alike in self._alike] if frozen else None
            self._inputs = [self._inputs_of(alike.indices) for alike in self._alike]
            like = next(inr.parameters())
            self._full = like.new_tensor([*(group.full for group in inr.architecture.groups), torch.inf])

    def _inputs_of(self, indices: Sequence[int]) -> Tensor:
        """Groups of the blocks' input channels, by number; the last one has no end."""
        number = {group.name: index for index, group in enumerate(self._inr.architecture.groups)}
        groups = [number.get(self._inr.layout[index].in_.group or "", len(number)) for index in indices]
        return torch.tensor(groups, device=next(self._inr.parameters()).device)

    def __call__(self, ratios: Tensor, gates: Tensor) -> dict[str, Tensor]:
        """Parameter name -> values ``[m, *full shape]`` in the layout of its ONNX initializer.

        ``ratios`` are widths over full widths, ``[m, groups]`` in the architecture's order; ``gates`` those of ``INR.gates``,
        ``[m, gates]``; both fp32, on the INR's device. A member is the prefix of every segment; what lies beyond its widths is whatever
        the networks say there, and has to be left out. Never waits for the device.
        """
        conditions = encode_sizes(ratios)
        stacks = self._stacks or [alike.stack() for alike in self._alike]
        widths = torch.cat([ratios, ratios.new_ones(len(ratios), 1)], dim=1) * self._full
        scales = self._inr.scales_at(self._row_scales, conditions, gates[:, -1:]) if isinstance(self._inr, AnchoredINR) else {}
        made: dict[str, Tensor] = {}
        lacking: dict[str, Tensor] = {}
        for alike, stack, inputs in zip(self._alike, stacks, self._inputs, strict=True):
            _, in_, _ = self._inr.full_shapes[alike.indices[0]]
            present = within(in_, widths.T[inputs]) if alike.has_moments else None
            names = [self._inr.layout[index].name for index in alike.indices]
            values, lacks = stack.make_full(present, conditions, gates, stacked(scales, names))
            # Unbound in one piece: the gradient of an index is as large as what it was taken from.
            made |= dict(zip(names, values.unbind(), strict=True))
            if lacks is not None:
                lacking |= dict(zip(names, lacks.unbind(), strict=True))
        if isinstance(self._inr, AnchoredINR):
            self._inr.add_to_biases(made, lacking)
        return {parameter.name: join(parameter, made) for parameter in self._inr.architecture.parameters}
