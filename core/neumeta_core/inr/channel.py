"""Coordinate network of one channel index: the part that kinds with separate networks for output and input channels share."""

from __future__ import annotations

from torch import Tensor, nn

from neumeta_core.coordinates import octaves
from neumeta_core.inr.base import Blur, Noise, encode_channels


class ChannelINR(nn.Module):
    """``out(features(k; sizes))`` for channel ``k``; its outputs start at zero when ``zero`` is set."""

    def __init__(self, channels: int, conditions: int, hidden: int, outputs: int, *, zero: bool) -> None:
        super().__init__()
        self.channels = channels
        self.bands = octaves(channels)
        self.from_channel = nn.Linear(1 + 2 * self.bands, hidden, bias=False)
        self.from_sizes = nn.Linear(conditions, hidden)
        self.hidden = nn.Linear(hidden, hidden)
        self.out = nn.Linear(hidden, outputs)
        if zero:
            nn.init.zeros_(self.out.weight)
            nn.init.zeros_(self.out.bias)

    def forward(self, channels: int, conditions: Tensor, noise: Noise | Blur | None) -> Tensor:
        """First ``channels`` channels -> ``[channels, outputs]``."""
        made: Tensor = self.out(self.features(channels, conditions, noise))
        return made

    def features(self, channels: int, conditions: Tensor, noise: Noise | Blur | None) -> Tensor:
        """What the linear output layer reads: ``[channels, hidden]``."""
        where = encode_channels(channels, self.channels, self.bands, conditions, noise)
        hidden = self.from_channel(where) + self.from_sizes(conditions)
        return nn.functional.silu(self.hidden(nn.functional.silu(hidden)))
