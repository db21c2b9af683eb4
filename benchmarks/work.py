"""How much there is to generate at full width, and a part of it that takes less long."""

from __future__ import annotations

import torch
from neumeta_core.architecture import Architecture, GeneratedParameter
from neumeta_core.blocks import parameter_blocks
from neumeta_core.inr import InrSettings, MlpINR, build_inr
from torch.utils.flop_counter import FlopCounterMode


def coordinates(architecture: Architecture) -> int:
    """Pairs of an output and an input channel at full width: what the ``mlp`` kind is evaluated at."""
    return sum(_pairs(architecture, parameter) for parameter in architecture.parameters)


def _pairs(architecture: Architecture, parameter: GeneratedParameter) -> int:
    shapes = [block.shape(architecture.full_widths) for row in parameter_blocks(parameter) for block in row]
    return sum(out * in_ for out, in_, _ in shapes)


def generated_values(architecture: Architecture) -> int:
    return sum(parameter.elements(architecture.full_widths) for parameter in architecture.parameters)


def multiply_adds(architecture: Architecture, settings: InrSettings) -> int:
    """Of one pass of an INR at full width: all matrix products of its forward pass, counted by PyTorch from their shapes alone.

    The plain pass of the ``mlp`` kind makes as many outputs for every block as the largest kernel has, and crops them; this work is not
    needed and so not counted.
    """
    with torch.device("meta"):
        inr = build_inr(architecture, settings)
    with FlopCounterMode(display=False) as counter:
        inr(architecture.full_widths)
    operations: int = counter.get_total_flops()
    return operations // 2 - (_cropped(inr) if isinstance(inr, MlpINR) else 0)


def _cropped(inr: MlpINR) -> int:
    blocks = zip(inr.layout, inr.full_shapes, strict=True)
    outputs = (out * in_ * (block.out.repeat * block.in_.repeat * inr.side**2 - taps) for block, (out, in_, taps) in blocks)
    return inr.settings.hidden * sum(outputs)


def part_of(architecture: Architecture, share: float) -> Architecture:
    """A part with at most about this share of the coordinates; the whole when ``share`` is 1 or more.

    Every n-th parameter in the order of size, for the smallest n that will do, and that of the largest kernel, which decides how
    many outputs the ``mlp`` kind has.
    """
    if share >= 1:
        return architecture
    ordered = sorted(architecture.parameters, key=lambda parameter: _pairs(architecture, parameter))
    most = share * coordinates(architecture)
    strides = (ordered[step // 2 :: step] for step in range(2, len(ordered) + 1))
    chosen = next((stride for stride in strides if sum(_pairs(architecture, parameter) for parameter in stride) <= most), ordered[:1])
    largest = max(architecture.parameters, key=lambda parameter: parameter.kernel)
    names = {parameter.name for parameter in (*chosen, largest)}
    kept = tuple(parameter for parameter in architecture.parameters if parameter.name in names)
    return Architecture(groups=architecture.groups, parameters=kept, max_compression=architecture.max_compression)
