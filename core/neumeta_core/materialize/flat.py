"""One member as one flat tensor: a few numbers in, as many values as the full network has out, in the same shapes for every member."""

from __future__ import annotations

import torch
from torch import Tensor

from neumeta_core.architecture import Widths
from neumeta_core.coordinates import width_ratios
from neumeta_core.inr import AnchoredINR, Blur, FactorisedINR
from neumeta_core.materialize.padded import PaddedProducts
from neumeta_core.materialize.prefixes import Prefixes


class FlatProducts:
    """All parameters of one INR, whose parameters do not change any more."""

    def __init__(self, inr: AnchoredINR | FactorisedINR, blur: Blur | None) -> None:
        self._architecture, self._gates = inr.architecture, inr.gates
        self._products = PaddedProducts(inr, blur, frozen=True)
        self._prefixes = Prefixes(inr.architecture, next(inr.parameters()).device)

    def sizes(self, widths: Widths) -> Tensor:
        """What makes a member, on the CPU: width ratios, widths, and gates; fp32 ``[2 * groups + gates]``."""
        architecture = self._architecture
        numbers = [float(widths[group.name]) for group in architecture.groups] + self._gates(widths)
        return torch.cat([width_ratios(architecture, widths), torch.tensor(numbers)])

    @torch.no_grad()
    def __call__(self, sizes: Tensor) -> Tensor:
        """The sizes on the INR's device -> the member's parameters, one after the other, and then what it has no use for: fp32.

        Never waits for the device.
        """
        groups = len(self._architecture.groups)
        ratios, widths, opened = torch.split(sizes, [groups, groups, len(sizes) - 2 * groups])
        made = self._products(ratios.unsqueeze(0), opened.unsqueeze(0))
        return self._prefixes(torch.cat([values.flatten() for values in made.values()]), widths)

    def count(self, widths: Widths) -> int:
        """How many values the member has."""
        return sum(parameter.elements(widths) for parameter in self._architecture.parameters)

    def parts(self, values: Tensor, widths: Widths) -> dict[str, Tensor]:
        """The first ``count`` values as parameters: name -> a view, in the layout of the ONNX initializer."""
        parameters = self._architecture.parameters
        split = torch.split(values, [parameter.elements(widths) for parameter in parameters])
        return {parameter.name: part.view(parameter.shape(widths)) for parameter, part in zip(parameters, split, strict=True)}
