"""Several members at once, each at the full extents of the network: the shapes of all tensors are the same for every member.

So nothing has to be known of the widths on the host: they are numbers on the device, and the operations can be recorded once
(CUDA graphs, compilers) and repeated for other members.
"""

from __future__ import annotations

import torch
from torch import Tensor

from neumeta_core.blocks import join
from neumeta_core.coordinates import encode_sizes
from neumeta_core.inr import AnchoredINR, Blur, FactorisedINR
from neumeta_core.materialize.stacks import find_alike


class PaddedProducts:
    """All parameters of one INR of kind ``anchored`` or ``factorised``.

    Reads the INR's parameters at every call and is differentiable with respect to them; with ``frozen`` it copies them once, here,
    without gradients.
    """

    def __init__(self, inr: AnchoredINR | FactorisedINR, blur: Blur | None = None, *, frozen: bool = False) -> None:
        self._inr = inr
        with torch.no_grad():
            self._alike = find_alike(inr, blur)
            self._stacks = [alike.stack() for alike in self._alike] if frozen else None

    def __call__(self, ratios: Tensor, gates: Tensor) -> dict[str, Tensor]:
        """Parameter name -> values ``[m, *full shape]`` in the layout of its ONNX initializer.

        ``ratios`` are widths over full widths, ``[m, groups]`` in the architecture's order; ``gates`` those of ``levels.gates``,
        ``[m, levels]``; both fp32, on the INR's device. A member is the prefix of every segment; what lies beyond its widths is whatever
        the networks say there, and has to be cropped (``blocks.crop``) or masked. Never waits for the device.
        """
        conditions = encode_sizes(ratios)
        stacks = self._stacks or [alike.stack() for alike in self._alike]
        made: dict[str, Tensor] = {}
        for alike, stack in zip(self._alike, stacks, strict=True):
            # Unbound in one piece: the gradient of an index is as large as what it was taken from.
            values = stack.make_full(conditions, gates).unbind()
            made |= {self._inr.layout[index].name: block for index, block in zip(alike.indices, values, strict=True)}
        return {parameter.name: join(parameter, made) for parameter in self._inr.architecture.parameters}
