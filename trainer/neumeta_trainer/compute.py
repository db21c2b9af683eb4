"""Where and in which arithmetic networks are trained: resolved once, then handed down."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

import torch
from neumeta_core.device import multiplies_bf16, resolve_device
from torch import nn

from neumeta_trainer.processes import Processes, joined


@dataclass(frozen=True)
class Compute:
    """Device, arithmetic and memory layout of training, and the processes that share it."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    mixed: bool = False
    """bf16 for the matrix products of networks; weights, statistics and INRs stay fp32."""

    processes: Processes = field(default_factory=Processes)

    @classmethod
    @contextmanager
    def resolve(cls, device: str = "auto") -> Iterator[Compute]:
        """``auto``, ``cpu`` or ``cuda``; bf16 where the device multiplies it natively (CUDA from Ampere on, CPUs with AMX or AVX512_BF16).

        Under torchrun, every process gets the CUDA device of its local rank. Raises DeviceUnavailable.
        """
        found = resolve_device(device)
        if found.type == "cuda" and "LOCAL_RANK" in os.environ:
            found = resolve_device(f"cuda:{os.environ['LOCAL_RANK']}")
        if found.type == "cuda" and found.index is not None:
            # A graph is captured on the current device: of work on another one it would hold nothing, and PyTorch would only warn.
            torch.cuda.set_device(found)
        with joined(found) as processes:
            yield cls(found, mixed=multiplies_bf16(found), processes=processes)

    @property
    def memory_format(self) -> torch.memory_format:
        """Channels last for bf16; elsewhere the plain layout, in which oneDNN picks blocked layouts by itself.

        Plain, too, because the AVX2 kernel for gradients of a strided 1x1 convolution from 4 channels never ends in channels last.
        """
        return torch.channels_last if self.mixed else torch.contiguous_format

    @property
    def captures(self) -> bool:
        """Whether steps of training are CUDA graphs. Several processes that train together exchange gradients from outside of one."""
        return self.device.type == "cuda" and self.processes.count == 1

    def autocast(self) -> AbstractContextManager[object]:
        """Forward passes of networks run inside this."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.mixed)

    def place(self, network: nn.Module) -> nn.Module:
        """Move a network here, in place."""
        # Stubs of nn.Module.to know no memory format together with a device.
        return network.to(self.device).to(memory_format=self.memory_format)  # type: ignore[call-overload, no-any-return]
