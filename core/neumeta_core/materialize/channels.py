"""Coordinate networks of one channel index, evaluated together."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from neumeta_core.inr.base import Blur, encode_channels
from neumeta_core.inr.channel import ChannelINR


class ChannelStack:
    """``n`` networks of equal shape, as batched matrix products. What depends on the channel alone is computed once, here."""

    def __init__(self, networks: Sequence[ChannelINR], blur: Blur | None) -> None:
        self._networks = networks
        self._blur = blur
        self._from_sizes = torch.cat([network.from_sizes.weight for network in networks])
        self._size_bias = torch.cat([network.from_sizes.bias for network in networks])
        self._hidden = torch.stack([network.hidden.weight.T for network in networks])
        self._hidden_bias = torch.stack([network.hidden.bias for network in networks]).unsqueeze(1)
        self._out = torch.stack([network.out.weight.T for network in networks])
        self._out_bias = torch.stack([network.out.bias for network in networks]).unsqueeze(1)
        self._channels = self._from_channels(networks[0].channels)

    def scale_outputs(self, factors: Tensor, start: int = 0) -> None:
        """Multiply the outputs of every network from index ``start`` on by its factor: ``[n]``."""
        self._out[..., start:] *= factors[:, None, None]
        self._out_bias[..., start:] *= factors[:, None, None]

    def __call__(self, channels: int, conditions: Tensor) -> Tensor:
        """The first ``channels`` channels at encoded sizes ``[c]``: ``[n, channels, outputs]``."""
        within = channels <= self._channels.shape[1]
        from_channels = self._channels[:, :channels] if within else self._from_channels(channels)
        from_sizes = torch.addmv(self._size_bias, self._from_sizes, conditions).view(len(self._networks), 1, -1)
        features = functional.silu(from_channels + from_sizes)
        features = functional.silu(torch.baddbmm(self._hidden_bias, features, self._hidden), inplace=True)
        return torch.baddbmm(self._out_bias, features, self._out)

    def _from_channels(self, channels: int) -> Tensor:
        """What the first layer makes of channel positions: ``[n, channels, hidden]``."""
        first = self._networks[0]
        where = encode_channels(channels, first.channels, first.bands, first.from_channel.weight, self._blur)
        return torch.stack([network.from_channel(where) for network in self._networks])
