"""Exponential moving average of a module's parameters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class EMA:
    """``average = decay * average + (1 - decay) * value`` after every update; starts at the module's values."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module, self.decay = module, decay
        self.average = {name: value.detach().clone() for name, value in module.named_parameters()}

    @torch.no_grad()
    def update(self) -> None:
        """Take the module's present values into the average."""
        for name, value in self.module.named_parameters():
            self.average[name].lerp_(value, 1 - self.decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The module holds the averages inside, and its own values again after."""
        own = {name: value.detach().clone() for name, value in self.module.named_parameters()}
        self.copy_to_module()
        try:
            yield
        finally:
            self._write(own)

    def copy_to_module(self) -> None:
        """The module takes the averages for good."""
        self._write(self.average)

    @torch.no_grad()
    def _write(self, values: dict[str, Tensor]) -> None:
        for name, parameter in self.module.named_parameters():
            parameter.copy_(values[name])
