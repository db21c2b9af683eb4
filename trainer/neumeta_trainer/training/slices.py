"""A network and its slices: members that share weights, and what the smaller ones have of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from neumeta_core.architecture import Architecture
from neumeta_core.configuration import Configuration
from neumeta_core.levels import level_configurations, level_gates
from torch import Tensor, nn
from torch.func import functional_call

from neumeta_trainer.structure.resize import at_widths, resized, sliced


class Slices(nn.Module):
    """Every member is a prefix of the full network, plus a prefix of the addition of every level that is open to it.

    ``levels`` are width ratios from wide to narrow (``neumeta_core.levels``); additions start at zero. With ``upward`` below 1
    a member passes no more than that share of its gradient on to the weights of the levels above its own: they belong to wider
    members, which it would disturb.
    """

    def __init__(self, network: nn.Module, architecture: Architecture, levels: Sequence[float] = (), upward: float = 1.0) -> None:
        super().__init__()
        self.network, self.architecture, self.upward = network, architecture, upward
        self.levels = level_configurations(architecture, levels)
        learned = {name: value.detach() for name, value in network.named_parameters() if name in architecture.by_name}
        self.names = list(learned)
        self.additions = nn.ModuleList(
            nn.ParameterList(torch.zeros_like(value) for value in sliced(architecture, learned, level).values()) for level in self.levels
        )

    def forward(self, configuration: Configuration, inputs: Tensor) -> Tensor:
        """Logits of a member, differentiable with respect to all weights; the network's buffers are left alone."""
        buffers = {name: buffer.clone() for name, buffer in self.network.named_buffers()}
        tensors = self.weights(configuration) | sliced(self.architecture, buffers, configuration)
        with at_widths(self.network, self.architecture, configuration):
            logits: Tensor = functional_call(self.network, tensors, (inputs,))
        return logits

    def weights(self, configuration: Configuration) -> dict[str, Tensor]:
        """Parameters of a member by name, without its normalization statistics."""
        opened = [*level_gates(self.architecture, self.levels, configuration), 0.0]
        total = sliced(self.architecture, dict(self.network.named_parameters()), configuration)
        # What cannot be resized has no levels: all members train it alike.
        total |= {name: self._passed(total[name], opened[0]) for name in self.names}
        for level, addition, gate, below in zip(self.levels, self.additions, opened, opened[1:], strict=False):
            if gate:
                held = dict(zip(self.names, cast("nn.ParameterList", addition), strict=True))
                own = sliced(self.architecture, held, configuration, level)
                total |= {name: total[name] + gate * self._passed(value, below) for name, value in own.items()}
        return total

    def _passed(self, value: Tensor, gate: float) -> Tensor:
        """The same values; their gradient is damped as far as the level below is open."""
        share = 1 - (1 - self.upward) * gate
        return value if share == 1 else value.detach() + share * (value - value.detach())

    @torch.no_grad()
    def member(self, configuration: Configuration) -> nn.Module:
        """A member as an ordinary module, with the statistics of normalization that its slice of the network has."""
        return resized(self.network, self.architecture, configuration, self.weights(configuration))
