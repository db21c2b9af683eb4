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
    bytes: int
    """Length of the ONNX artifact."""

    def as_dict(self) -> dict[str, int]:
        """The three numbers by name."""
        return asdict(self)


def cost_of(architecture: Architecture, widths: Mapping[str, int], artifact_bytes: int) -> Cost:
    """Cost at these widths; ``artifact_bytes`` is handed through."""
    widths = dict(widths)  # read several times for every parameter
    elements = [(parameter, parameter.elements(widths)) for parameter in architecture.parameters]
    return Cost(
        params=architecture.fixed_params + sum(count for _, count in elements),
        macs=architecture.fixed_macs + round(sum(count * parameter.macs_per_element for parameter, count in elements)),
        bytes=artifact_bytes,
    )
