"""Several processes that train one module together, as torchrun starts them.

Every process draws the same widths and the same batch, works on its own share of the batch, and the gradients are averaged. So a
recipe means the same however many processes run it; only batch statistics are those of a share.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from neumeta_trainer.errors import RecipeRefused


@dataclass(frozen=True)
class Processes:
    """This process's place among those that train together."""

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """True for the process that writes files and shows progress."""
        return self.rank == 0

    def share(self, size: int) -> slice:
        """This process's part of a batch; RecipeRefused when the batch cannot be divided."""
        if size % self.count:
            raise RecipeRefused(f"batch: {size} images cannot be divided among {self.count} processes; choose a multiple.")
        part = size // self.count
        return slice(self.rank * part, (self.rank + 1) * part)

    def loss_of(self, module: nn.Module, loss: Callable[[int], Tensor]) -> Callable[[int], Tensor]:
        """``loss`` of the module's parameters; with several processes its backward pass averages their gradients."""
        return DistributedDataParallel(_Loss(module, loss)) if self.count > 1 else loss

    def wait(self) -> None:
        """Return once all processes have come here."""
        if self.count > 1:
            distributed.barrier()

    def take_buffers_of_first(self, module: nn.Module) -> None:
        """Give the module's buffers the values that they have in the first process, which writes the checkpoints."""
        if self.count > 1:
            for buffer in module.buffers():
                distributed.broadcast(buffer, 0)

    def any(self, *flags: bool) -> list[bool]:
        """Flag by flag, whether it is set in any process; every process gets the same answer."""
        if self.count == 1:
            return list(flags)
        device = torch.device("cuda") if distributed.get_backend() == "nccl" else torch.device("cpu")
        found = torch.tensor([float(flag) for flag in flags], device=device)
        distributed.all_reduce(found, distributed.ReduceOp.MAX)
        return [bool(flag) for flag in found.tolist()]


class _Loss(nn.Module):
    """A loss as a module that owns the trained parameters: DistributedDataParallel averages what its forward pass uses."""

    def __init__(self, module: nn.Module, loss: Callable[[int], Tensor]) -> None:
        super().__init__()
        self.module, self._loss = module, loss

    def forward(self, step: int) -> Tensor:
        return self._loss(step)


@contextmanager
def joined(device: torch.device) -> Iterator[Processes]:
    """The processes that torchrun started with this one (``RANK`` and ``WORLD_SIZE``), or this one alone."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes()
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Processes(distributed.get_rank(), count)
    finally:
        # Reference cycles keep DistributedDataParallel alive, and with it the group and its threads. If the interpreter has to
        # end those, it may abort.
        gc.collect()
        distributed.destroy_process_group()
