"""Kind ``mlp``: one residual coordinate MLP for every block (paper eq. 3 and 4, section "block-wise").

Departures from the released reference code, which are faults there: a weight is routed to its MLP by its clean layer
index, sizes and biases carry no noise, and a small kernel is the spatial centre of the largest one.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from neumeta_core.architecture import Architecture, Widths
from neumeta_core.blocks import Block
from neumeta_core.coordinates import encode_sizes, octaves, width_ratios
from neumeta_core.errors import NetworkUnsupported
from neumeta_core.inr.base import INR, Blur, Noise, encode_channels
from neumeta_core.inr.settings import MlpSettings


def largest_kernel(architecture: Architecture) -> int:
    """Side of the largest square that any kernel needs; 1 without convolutions."""
    return max((max(parameter.kernel, default=1) for parameter in architecture.parameters), default=1)


def crop_kernel(values: Tensor, kernel: tuple[int, ...], side: int) -> Tensor:
    """Outputs ``[..., side * side]`` -> the taps of one kernel ``[..., prod(kernel)]``.

    A two-dimensional kernel is the spatial centre of the square; a one-dimensional one the centre of its middle row. What has
    no kernel (Linear weights, biases) is the mean over the square, as the paper says.
    """
    if not kernel:
        return values.mean(dim=-1, keepdim=True)
    height, width = kernel if len(kernel) == 2 else (1, kernel[0])
    top, left = (side - height) // 2, (side - width) // 2
    square = values.reshape(*values.shape[:-1], side, side)
    return square[..., top : top + height, left : left + width].flatten(-2)


class CoordinateMLP(nn.Module):
    """``h = relu(W g)``, then ``h = h + s_j relu(W_j h)``, then linear to the taps of one block.

    The encoded coordinate ``g`` is a concatenation of parts that depend on the output channel, on the input channel and on
    the sizes alone. So the first layer is a sum of three products, each computed once per channel and broadcast: exact, and
    cheaper by the number of channels.
    """

    def __init__(self, channels: tuple[int, int], settings: MlpSettings, conditions: int, outputs: int) -> None:
        super().__init__()
        hidden = settings.hidden
        self.bands_out, self.bands_in = octaves(channels[0]), octaves(channels[1])
        features = (1 + 2 * self.bands_out) + (1 + 2 * self.bands_in) + conditions
        self.from_out = nn.Linear(1 + 2 * self.bands_out, hidden, bias=False)
        self.from_in = nn.Linear(1 + 2 * self.bands_in, hidden, bias=False)
        self.from_sizes = nn.Linear(conditions, hidden)
        for layer in (self.from_out, self.from_in, self.from_sizes):
            # One layer in three parts: the bound of the default initialization follows from all inputs together.
            nn.init.uniform_(layer.weight, -1 / math.sqrt(features), 1 / math.sqrt(features))
        self.residual = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(settings.layers - 1))
        self.gates = nn.Parameter(torch.full((settings.layers - 1,), 0.1))
        self.out = nn.Linear(hidden, outputs)

    def forward(self, out: Tensor, in_: Tensor, conditions: Tensor) -> Tensor:
        """Encoded positions ``[o, features]`` and ``[i, features]``, encoded sizes ``[c]`` -> outputs ``[o, i, outputs]``."""
        rows = self.from_out(out)
        columns = self.from_in(in_) + self.from_sizes(conditions)
        hidden = torch.relu(rows.unsqueeze(1) + columns.unsqueeze(0))
        for gate, layer in zip(self.gates, self.residual, strict=True):
            hidden = hidden + gate * torch.relu(layer(hidden))
        made: Tensor = self.out(hidden)
        return made


class MlpINR(INR):
    """One ``CoordinateMLP`` a block; output divided by the fan-in and multiplied by a fixed scale of the block."""

    scales: Tensor

    def __init__(self, architecture: Architecture, settings: MlpSettings) -> None:
        super().__init__(architecture)
        self.settings = settings
        for parameter in architecture.parameters:
            if len(parameter.kernel) > 2:
                raise NetworkUnsupported(f"{parameter.name} has a kernel of {len(parameter.kernel)} dimensions; kind mlp makes at most 2.")
        self.side = largest_kernel(architecture)
        # l/L and L/N of eq. 3, which are constants within a block's own MLP, its two sizes, and the width of every group.
        conditions = 3 * (4 + len(architecture.groups))
        self.networks = nn.ModuleList(
            CoordinateMLP((out, in_), settings, conditions, block.out.repeat * block.in_.repeat * self.side**2)
            for block, (out, in_, _) in zip(self.layout, self.full_shapes, strict=True)
        )
        self.register_buffer("scales", torch.ones(len(self.layout)))

    def start_block(self, index: int, values: Tensor, *_smaller: Tensor) -> None:
        """Fix the block's output scale to its fan-in times the spread of the trained weights.

        Without it generated weights start near zero, where a stack of layers has a saddle.
        """
        self.scales[index] = values.shape[1] * values.square().mean().sqrt().clamp_min(1e-3)

    def make_blocks(self, widths: Widths, noise: Noise | Blur | None) -> dict[str, Tensor]:
        """Block name -> values ``[out, in, taps]`` at these widths."""
        conditions = self.conditions(widths)
        return {block.name: self._make(index, block, widths, conditions[index], noise) for index, block in enumerate(self.layout)}

    def conditions(self, widths: Widths) -> Tensor:
        """Encoded sizes of every block, its own first and then those of all groups: shape ``[blocks, conditions]``."""
        own = []
        for index, (block, (full_out, full_in, _)) in enumerate(zip(self.layout, self.full_shapes, strict=True)):
            out, in_, _ = block.shape(widths)
            own.append([index / len(self.layout), len(self.layout) / full_out, out / full_out, in_ / full_in])
        shared = width_ratios(self.architecture, widths, self.scales)
        return encode_sizes(torch.cat([self.scales.new_tensor(own), shared.expand(len(own), -1)], dim=1))

    def extents(self, index: int, out: int, in_: int) -> tuple[int, int]:
        """Grids that the channels of a block with these widths lie on."""
        return (out, in_) if self.settings.positions == "relative" else self.full_shapes[index][:2]

    def _make(self, index: int, block: Block, widths: Widths, conditions: Tensor, noise: Noise | Blur | None) -> Tensor:
        out, in_, _ = block.shape(widths)
        extents = self.extents(index, out, in_)
        noise = None if block.is_vector else noise
        network = cast("CoordinateMLP", self.networks[index])
        rows = encode_channels(out, extents[0], network.bands_out, self.scales, noise)
        columns = encode_channels(in_, extents[1], network.bands_in, self.scales, noise)
        made = network(rows, columns, conditions)
        taps = crop_kernel(made.reshape(out, in_, -1, self.side**2), block.parameter.kernel, self.side)
        return taps.flatten(-2) * (self.scales[index] / in_)

    def coordinate_parameters(self) -> int:
        """All stored values: this kind is nothing but coordinate networks."""
        return sum(tensor.numel() for tensor in self.state_dict().values())
