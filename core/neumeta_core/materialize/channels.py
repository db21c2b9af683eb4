"""Coordinate networks of one channel index, evaluated together."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from neumeta_core.inr.base import Blur, encode_channels
from neumeta_core.inr.channel import ChannelINR


class ChannelGrid:
    """Encoded positions of the channels that networks of equal shape share; those within the full width are kept."""

    def __init__(self, network: ChannelINR, blur: Blur | None) -> None:
        self._channels, self._bands, self._blur = network.channels, network.bands, blur
        self._like = torch.empty(0, device=network.out.weight.device)
        self.full = self.encode(network.channels)

    def encode(self, channels: int) -> Tensor:
        """The first ``channels`` channels, fp32: ``[channels, 1 + 2 * bands]``."""
        return encode_channels(channels, self._channels, self._bands, self._like, self._blur)


class ChannelStack:
    """``n`` networks of equal shape, as batched matrix products. What depends on the channel alone is computed once, here.

    Made anew it is differentiable with respect to the networks.
    """

    def __init__(self, networks: Sequence[ChannelINR], grid: ChannelGrid) -> None:
        self._grid = grid
        self._from_channel = torch.stack([network.from_channel.weight.T for network in networks])
        self._from_sizes = torch.cat([network.from_sizes.weight for network in networks])
        self._size_bias = torch.cat([network.from_sizes.bias for network in networks])
        self._hidden = torch.stack([network.hidden.weight.T for network in networks])
        self._hidden_bias = torch.stack([network.hidden.bias for network in networks]).unsqueeze(1)
        self._out = torch.stack([network.out.weight.T for network in networks])
        self._out_bias = torch.stack([network.out.bias for network in networks]).unsqueeze(1)
        self._channels = self._from_channels(grid.full)

    def scale_outputs(self, factors: Tensor, start: int = 0) -> None:
        """Multiply the outputs of every network from index ``start`` on by its factor: ``[n]``."""
        self._out[..., start:] *= factors[:, None, None]
        self._out_bias[..., start:] *= factors[:, None, None]

    def __call__(self, channels: int, conditions: Tensor) -> Tensor:
        """The first ``channels`` channels at encoded sizes ``[c]``: ``[n, channels, outputs]``."""
        within = channels <= self._channels.shape[1]
        from_channels = self._channels[:, :channels] if within else self._from_channels(self._grid.encode(channels))
        from_sizes = torch.addmv(self._size_bias, self._from_sizes, conditions).view(len(self._out), 1, -1)
        return self._outputs(from_channels + from_sizes)

    def all_channels(self, conditions: Tensor) -> Tensor:
        """All channels of the full width, for m members at encoded sizes ``[m, c]``: ``[n, m, channels, outputs]``."""
        members = len(conditions)
        from_sizes = torch.addmm(self._size_bias, conditions, self._from_sizes.T).view(members, len(self._out), 1, -1)
        first = self._channels.unsqueeze(1) + from_sizes.transpose(0, 1)
        return self._outputs(first.flatten(1, 2)).view(*first.shape[:3], -1)

    def _outputs(self, first: Tensor) -> Tensor:
        """What the networks make of the sums of their first layer: ``[n, rows, hidden]`` -> ``[n, rows, outputs]``."""
        features = functional.silu(torch.baddbmm(self._hidden_bias, functional.silu(first), self._hidden))
        return torch.baddbmm(self._out_bias, features, self._out)

    def _from_channels(self, where: Tensor) -> Tensor:
        """What the first layer makes of channel positions: ``[n, channels, hidden]``."""
        return torch.bmm(where.expand(len(self._from_channel), -1, -1), self._from_channel)
