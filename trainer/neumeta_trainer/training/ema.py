"""Exponential moving average of a module's parameters."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class EMA:
    """``average = decay * average + (1 - decay) * value`` after every update; starts at the module's values."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module, self.decay = module, decay
        self._values = dict(module.named_parameters())
        # All parameters in a few kernels; an INR has hundreds of small ones.
        self._average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        self.average = {name: value.detach().clone() for name, value in self._values.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take the module's present values into the average."""
        self._average([self.average[name] for name in self._values], list(self._values.values()), 0)

    @torch.no_grad()
    def copy_to_module(self) -> None:
        """The module takes the averages for good."""
        for name, parameter in self._values.items():
            parameter.copy_(self.average[name])
