"""What a member costs, by arithmetic on the header: no tensor is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from neumeta_core.architecture import Architecture


@dataclass(frozen=True)
class Cost:
    """Size of a member: the whole network, generated or not."""

    params: int
    macs: int
    """Multiply-adds for one input sample."""

    def as_dict(self) -> dict[str, int]:
        """The numbers by name."""
        return asdict(self)


@dataclass(frozen=True)
class ArtifactCost(Cost):
    """With that of the file that it comes in."""

    bytes: int
    """Length of the ONNX artifact."""


def cost_of(architecture: Architecture, widths: Mapping[str, int]) -> Cost:
    """Cost at these widths."""
    widths = dict(widths)  # read several times for every parameter
    elements = [(parameter, parameter.elements(widths)) for parameter in architecture.parameters]
    return Cost(
        params=architecture.fixed_params + sum(count for _, count in elements),
        macs=architecture.fixed_macs + round(sum(count * parameter.macs_per_element for parameter, count in elements)),
    )
