"""Kind ``mlp``: the coordinates of every block in tiles: some output channels of a large block, or several small ones whole.

Tiles bound the memory beside the result; on a CPU they are small enough for a core's cache, on CUDA large enough to fill the device. A
matrix product of many rows may differ in the last bit from the same rows in a product of another height, so the tiles of a member
follow from its widths and the kind of device and from nothing else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from neumeta_core.architecture import Widths
from neumeta_core.inr import Blur, MlpINR
from neumeta_core.inr.base import encode_channels
from neumeta_core.inr.mlp import CoordinateMLP, crop_kernel

TILE_ROWS = {"cpu": 2**10, "cuda": 2**16}
"""Most coordinates of a tile by kind of device, unless a single channel has more: with 256 hidden units, 1 MiB and 64 MiB of fp32."""
_SMALL = 256
"""Blocks of at most so many coordinates at full width are stacked: alone they would keep no core busy."""
Grid = Callable[[int, int, int, Blur | None, torch.device], Tensor]
"""``encoded_grid`` with the memory of one member: its blocks share grids. No longer, for there is no end of widths."""


class CoordinateTiles:
    """All blocks of one INR."""

    @torch.no_grad()
    def __init__(self, inr: MlpINR, blur: Blur | None, dtype: torch.dtype) -> None:
        self._inr = inr
        device = next(inr.parameters()).device
        from_sizes = [cast("CoordinateMLP", network).from_sizes for network in inr.networks]
        self._from_sizes = torch.stack([layer.weight for layer in from_sizes])
        self._size_bias = torch.stack([layer.bias for layer in from_sizes]).unsqueeze(2)
        alike: dict[tuple[int, int], list[int]] = defaultdict(list)
        for index, (out, in_, taps) in enumerate(inr.full_shapes):
            alike[out * in_, taps].append(index)
        self._stacks: list[TileStack] = []
        grid: Grid = cache(encoded_grid)
        for (coordinates, _), members in alike.items():
            most = TILE_ROWS[device.type] // coordinates if coordinates <= _SMALL else 1
            self._stacks += [TileStack(inr, members[start : start + most], blur, dtype, grid) for start in range(0, len(members), most)]

    def __call__(self, widths: Widths) -> dict[str, Tensor]:
        """Block name -> values ``[out, in, taps]``."""
        from_sizes = torch.baddbmm(self._size_bias, self._from_sizes, self._inr.conditions(widths).unsqueeze(2)).squeeze(2)
        grid: Grid = cache(encoded_grid)
        return {name: values for stack in self._stacks for name, values in stack.make(widths, from_sizes, grid)}


class TileStack:
    """One block, or ``n`` small ones with equally many taps as batched matrix products."""

    def __init__(self, inr: MlpINR, members: Sequence[int], blur: Blur | None, dtype: torch.dtype, grid: Grid) -> None:
        self._inr, self._members, self._blur = inr, members, blur
        self._networks = [cast("CoordinateMLP", inr.networks[index]) for index in members]
        layers = range(inr.settings.layers - 1)
        residual = [[cast("nn.Linear", network.residual[layer]) for network in self._networks] for layer in layers]
        self._weights = [_stack([each.weight.T for each in layer]).to(dtype) for layer in residual]
        self._biases = [_stack([each.bias for each in layer]).unsqueeze(1).to(dtype) for layer in residual]
        self._gates = [torch.stack([network.gates[layer] for network in self._networks]).view(-1, 1, 1).to(dtype) for layer in layers]
        self._out, self._out_bias = _cropped_outputs(inr, members, self._networks)
        self._dtype = dtype
        self._scales = inr.scales[list(members)].tolist()
        self._full = [self._from_channels(k, *inr.full_shapes[index][:2], grid) for k, index in enumerate(members)]

    def make(self, widths: Widths, from_sizes: Tensor, grid: Grid) -> list[tuple[str, Tensor]]:
        """Name and values ``[out, in, taps]`` of every block; ``from_sizes`` is what the first layers of all blocks make of the sizes."""
        shapes = [self._inr.layout[index].shape(widths) for index in self._members]
        firsts = [self._first(k, shape, from_sizes[index], grid) for k, (index, shape) in enumerate(zip(self._members, shapes, strict=True))]
        made = self._tiled(*firsts[0]) if len(firsts) == 1 else self._outputs(pad_sequence([_sums(*first) for first in firsts], batch_first=True))
        named = zip(self._members, shapes, self._scales, strict=True)
        return [
            (self._inr.layout[index].name, made[k, : out * in_].view(out, in_, -1) * (scale / in_))
            for k, (index, (out, in_, _), scale) in enumerate(named)
        ]

    def _first(self, k: int, shape: tuple[int, int, int], from_sizes: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
        """What the first layer makes of the output channels and of the input channels with the sizes: ``[out, hidden]``, ``[in, hidden]``."""
        out, in_, _ = shape
        rows, columns = self._full[k]
        if self._inr.settings.positions == "relative" or out > len(rows) or in_ > len(columns):
            rows, columns = self._from_channels(k, out, in_, grid)
        return rows[:out], columns[:in_] + from_sizes

    def _from_channels(self, k: int, out: int, in_: int, grid: Grid) -> tuple[Tensor, Tensor]:
        """What it makes of the channels alone; where positions are absolute, narrower blocks have the first of them."""
        index, network = self._members[k], self._networks[k]
        extent_out, extent_in = self._inr.extents(index, out, in_)
        blur = None if self._inr.layout[index].is_vector else self._blur
        device = network.out.weight.device
        rows = network.from_out(grid(out, extent_out, network.bands_out, blur, device))
        return rows, network.from_in(grid(in_, extent_in, network.bands_in, blur, device))

    def _tiled(self, rows: Tensor, columns: Tensor) -> Tensor:
        """The only block, some output channels at a time."""
        step = max(1, TILE_ROWS[rows.device.type] // len(columns))
        tiles = (rows[start : start + step] for start in range(0, len(rows), step))
        return torch.cat([self._outputs(_sums(tile, columns).unsqueeze(0)) for tile in tiles], dim=1)

    def _outputs(self, hidden: Tensor) -> Tensor:
        """What the networks make of the sums of their first layer: ``[n, coordinates, hidden]`` -> ``[n, coordinates, taps]``."""
        hidden = hidden.relu_().to(self._dtype)
        for weight, bias, gate in zip(self._weights, self._biases, self._gates, strict=True):
            hidden.addcmul_(torch.baddbmm(bias, hidden, weight).relu_(), gate)
        return torch.baddbmm(self._out_bias, hidden.float(), self._out)


def _sums(rows: Tensor, columns: Tensor) -> Tensor:
    """Of every output channel with every input channel: ``[out, hidden]``, ``[in, hidden]`` -> ``[out * in, hidden]``."""
    return (rows.unsqueeze(1) + columns).flatten(0, 1)


def encoded_grid(channels: int, extent: int, bands: int, blur: Blur | None, device: torch.device) -> Tensor:
    """Encoded positions of a grid, fp32: shape ``[channels, 1 + 2 * bands]``."""
    return encode_channels(channels, extent, bands, torch.empty(0, device=device), blur)


def _stack(tensors: Sequence[Tensor]) -> Tensor:
    """Along a new first axis; one tensor alone is not copied."""
    return tensors[0].unsqueeze(0) if len(tensors) == 1 else torch.stack(list(tensors))


def _cropped_outputs(inr: MlpINR, members: Sequence[int], networks: Sequence[CoordinateMLP]) -> tuple[Tensor, Tensor]:
    """Weights ``[n, hidden, taps]`` and biases ``[n, 1, taps]`` of output layers that make the taps of a kernel and no others."""

    def crop(index: int, values: Tensor) -> Tensor:
        square = values.reshape(*values.shape[:-1], -1, inr.side**2)
        return crop_kernel(square, inr.layout[index].parameter.kernel, inr.side).flatten(-2)

    weights = [crop(index, network.out.weight.T) for index, network in zip(members, networks, strict=True)]
    biases = [crop(index, network.out.bias) for index, network in zip(members, networks, strict=True)]
    # In the memory order of the layer itself: a product with so few columns takes twice as long in the other.
    return _stack([each.T.contiguous() for each in weights]).mT, _stack(biases).unsqueeze(1)
