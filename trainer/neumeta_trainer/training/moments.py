"""Moments of what flows into the layers of a network, measured over training inputs (``neumeta_core.inr.moments``)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial
from math import prod

import torch
from neumeta_core.architecture import Architecture, GeneratedParameter, Widths
from neumeta_core.blocks import bias_blocks
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd


@torch.no_grad()
def measure_moments(member: nn.Module, architecture: Architecture, widths: Widths, inputs: Sequence[Tensor]) -> dict[str, Tensor]:
    """Weight -> ``[MOMENTS, in channels]`` of a fused member at its widths, over all these batches.

    Of layers whose bias is generated too, and which are plain Linear layers or convolutions over all input channels: what others do
    with their weights is not known here.
    """
    biased = {name.partition("[")[0] for name in bias_blocks(architecture)}
    windows: dict[str, Windows] = {}
    hooks = []
    for path, layer in member.named_modules():
        name = f"{path}.weight"
        if name in biased and _is_measured(layer):
            windows[name] = Windows(architecture.by_name[name], layer, widths)
            hooks.append(layer.register_forward_pre_hook(partial(_see, windows[name]), with_kwargs=True))
    for batch in inputs:
        member(batch)
    for hook in hooks:
        hook.remove()
    return {name: seen.moments() for name, seen in windows.items() if seen.count}


class Windows:
    """Sums over all windows of a layer's inputs: what one output is made of, channel by channel."""

    def __init__(self, parameter: GeneratedParameter, layer: nn.Module, widths: Widths) -> None:
        assert parameter.in_dim is not None
        self._segments = [(segment.size(widths), segment.repeat) for segment in parameter.axes[parameter.in_dim]]
        self._taps = torch.cat([torch.full((size // repeat,), float(repeat * prod(parameter.kernel))) for size, repeat in self._segments])
        self._sum = _summing(layer) if isinstance(layer, _ConvNd) else None
        self._totals = torch.zeros(3, len(self._taps), dtype=torch.float64)
        self.count = 0

    def see(self, inputs: Tensor) -> None:
        """Take the windows of a batch of inputs into account."""
        self._totals = self._totals.to(inputs.device)
        if self._sum is None:
            sums, squares = inputs.flatten(0, -2), inputs.square().flatten(0, -2)
        else:
            sums, squares = (self._sum(values).movedim(1, -1).flatten(0, -2) for values in (inputs, inputs.square()))
        sums, squares = self._by_channel(sums), self._by_channel(squares)
        self._totals += torch.stack([sums.sum(0), squares.sum(0), sums.square().sum(0)]).double()
        self.count += len(sums)

    def _by_channel(self, entries: Tensor) -> Tensor:
        """Sums over the entries of every channel: ``[n, entries]`` -> ``[n, channels]``."""
        parts = torch.split(entries, [size for size, _ in self._segments], dim=1)
        return torch.cat([part.view(len(part), -1, repeat).sum(2) for part, (_, repeat) in zip(parts, self._segments, strict=True)], dim=1)

    def moments(self) -> Tensor:
        """``[MOMENTS, channels]``."""
        taps, (total, squares, squared_sums) = self._taps.to(self._totals), self._totals / self.count
        mean = total / taps
        variance = (squares / taps - mean.square()).clamp_min(0)
        # The variance of a sum of t taps is t * own + t^2 * common.
        common = (squared_sums - total.square() - taps * variance) / (taps.square() - taps).clamp_min(1)
        common = torch.minimum(common.clamp_min(0), variance)
        return torch.stack([mean, (variance - common).sqrt(), common.sqrt()]).float()


def _see(windows: Windows, _layer: nn.Module, given: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
    windows.see(given[0] if given else named["input"])


def _is_measured(layer: nn.Module) -> bool:
    return type(layer) in (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d) and getattr(layer, "groups", 1) == 1


def _summing(layer: _ConvNd) -> nn.Module:
    """A convolution with the windows of another one that adds up every channel's."""
    channels = layer.in_channels
    summing = copy.deepcopy(layer)
    summing.weight = nn.Parameter(torch.ones_like(layer.weight[:1, :1]).repeat_interleave(channels, dim=0))
    summing.bias, summing.out_channels, summing.groups = None, channels, channels
    return summing
