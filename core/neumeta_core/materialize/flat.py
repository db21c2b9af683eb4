"""One member at full extents: a few numbers in, one flat tensor out, in the same shapes for every member."""

from __future__ import annotations

import torch
from torch import Tensor

from neumeta_core.architecture import Widths
from neumeta_core.blocks import crop
from neumeta_core.coordinates import width_ratios
from neumeta_core.inr import AnchoredINR, Blur, FactorisedINR
from neumeta_core.levels import gates
from neumeta_core.materialize.padded import PaddedProducts


class FlatProducts:
    """All parameters of one INR, whose parameters do not change any more."""

    def __init__(self, inr: AnchoredINR | FactorisedINR, blur: Blur | None) -> None:
        self._architecture, self._levels = inr.architecture, inr.levels
        self._products = PaddedProducts(inr, blur, frozen=True)
        full = inr.architecture.full_widths
        self._shapes = [parameter.shape(full) for parameter in inr.architecture.parameters]
        self._counts = [parameter.elements(full) for parameter in inr.architecture.parameters]

    def sizes(self, widths: Widths) -> Tensor:
        """What makes a member, on the CPU: its width ratios and then the gates of its levels, fp32 ``[groups + levels]``."""
        return torch.cat([width_ratios(self._architecture, widths), torch.tensor(gates(self._architecture, self._levels, widths))])

    @torch.no_grad()
    def __call__(self, sizes: Tensor) -> Tensor:
        """The sizes on the INR's device -> the values of all parameters, one after the other, fp32. Never waits for the device."""
        groups = len(self._architecture.groups)
        made = self._products(sizes[:groups].unsqueeze(0), sizes[groups:].unsqueeze(0))
        return torch.cat([values.flatten() for values in made.values()])

    def cut(self, values: Tensor, widths: Widths) -> dict[str, Tensor]:
        """Copies of what belongs to the member: parameter name -> values at these widths, none of them above the full one."""
        full = self._architecture.full_widths
        parts = zip(self._architecture.parameters, torch.split(values, self._counts), self._shapes, strict=True)
        cropped = {parameter.name: crop(parameter, part.view(shape), full, widths) for parameter, part, shape in parts}
        return {name: part.clone(memory_format=torch.contiguous_format) for name, part in cropped.items()}
