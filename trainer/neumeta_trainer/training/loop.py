"""The training loop that every stage shares: steps, schedule, averaging, checkpoints, progress."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from neumeta_trainer.compute import Compute
from neumeta_trainer.config import Optimization
from neumeta_trainer.errors import TrainingCollapsed
from neumeta_trainer.randomness import generator_for
from neumeta_trainer.training.checkpoint import load_checkpoint, save_checkpoint
from neumeta_trainer.training.ema import EMA
from neumeta_trainer.training.interrupt import deferred_interrupt
from neumeta_trainer.training.objective import CapturedGradients, Objective
from neumeta_trainer.training.progress import Progress

SECONDS_BETWEEN_CHECKPOINTS = 60.0
STEPS_BETWEEN_LOOKS = 50
OWN_FOLDER = "Choose another folder (--out, --alone) for this one, or repeat the settings and data of that one."


@dataclass(frozen=True)
class Workspace:
    """Where a run keeps its checkpoints, what identifies it, who is told of its progress, and what it computes on."""

    folder: Path
    fingerprint: str
    progress: Progress
    compute: Compute = field(default_factory=Compute)
    seconds: dict[str, float] = field(default_factory=dict)
    """The time that each stage took, over all the runs that it was resumed in."""
    advice: str = OWN_FOLDER
    """What to do about checkpoints of another run in the folder. Never to delete them: they may be hours of that run's work."""


def optimize(name: str, module: nn.Module, loss: Callable[[int], Tensor], optimization: Optimization, workspace: Workspace) -> None:
    """Train ``module`` in place by gradient steps on ``loss(step)``; the EMA stays in it when there is one.

    ``loss`` must be a function of the module and the step number alone. Then a run that was interrupted at any time and is
    started again ends with the same bits as one that was not, on a CPU; CUDA picks its kernels anew. Processes that train
    together stop together. Where steps can be captured and ``loss`` is an ``Objective``, it is a CUDA graph, and the loss is
    looked at now and then only.
    """
    processes = workspace.compute.processes
    path = workspace.folder / f"{name}.pt"
    optimizer, ema = _optimizer(module, optimization), EMA(module, optimization.ema) if optimization.ema else None
    start, before = _restore(path, workspace, module, optimizer, ema)
    captured = isinstance(loss, Objective) and workspace.compute.captures and start < optimization.steps
    began = saved = time.monotonic()
    workspace.seconds[name] = before
    with workspace.progress.stage(name, optimization.steps, start) as report, deferred_interrupt() as interrupted:
        gradients = CapturedGradients(module, cast("Objective", loss), start) if captured else _backward(module, loss, workspace)
        for step in range(start, optimization.steps):
            # Layers such as Dropout draw from the global state, which has to depend on the step alone.
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(generator_for(f"{workspace.fingerprint}:{name}", step, processes.rank).initial_seed())
                value = gradients(step)
            last, due, stop = step + 1 == optimization.steps, time.monotonic() - saved > SECONDS_BETWEEN_CHECKPOINTS, interrupted()
            # To look at a loss is to wait for the device, which a graph's short steps cannot afford.
            looked = not captured or last or due or stop or (step + 1) % STEPS_BETWEEN_LOOKS == 0
            stopped, broken = processes.any(stop, looked and not bool(torch.isfinite(value)))
            if broken:
                raise TrainingCollapsed(f"the loss is not finite at step {step}; a smaller learning rate or a longer warm-up helps.")
            _descend(rate_at(step, optimization), optimizer, optimization.clip)
            if ema is not None:
                ema.update()
            if looked:
                report(step + 1, float(value))
            workspace.seconds[name] = before + time.monotonic() - began
            if processes.is_first and (last or stopped or due):
                _save(path, workspace, name, step + 1, module, optimizer, ema)
                saved = time.monotonic()
            if stopped:
                raise KeyboardInterrupt
        # A signal may have come while the last state was written, to one process alone.
        if processes.any(interrupted())[0]:
            raise KeyboardInterrupt
    # Every process has seen its own share: without this each would go on with statistics of its own.
    processes.take_buffers_of_first(module)
    if ema is not None:
        ema.copy_to_module()


def _backward(module: nn.Module, loss: Callable[[int], Tensor], workspace: Workspace) -> Callable[[int], Tensor]:
    """The loss of a step, after its gradients were left at the parameters."""
    shared_loss = workspace.compute.processes.loss_of(module, loss)

    def gradients(step: int) -> Tensor:
        module.zero_grad(set_to_none=True)
        value = shared_loss(step)
        value.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return value.detach()

    return gradients


def rate_at(step: int, optimization: Optimization) -> float:
    """Learning rate of a step: linear warm-up times cosine decay."""
    rising = min(1.0, (step + 1) / max(1.0, optimization.warmup * optimization.steps))
    return optimization.rate * rising * 0.5 * (1 + math.cos(math.pi * step / optimization.steps))


def _optimizer(module: nn.Module, optimization: Optimization) -> torch.optim.Optimizer:
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    # One kernel for all parameters, where there are kernels.
    fused = True if all(parameter.is_cuda for parameter in parameters) else None
    decay = optimization.weight_decay
    if optimization.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=optimization.rate, momentum=0.9, nesterov=True, weight_decay=decay, fused=fused)
    return torch.optim.AdamW(parameters, lr=optimization.rate, weight_decay=decay, fused=fused)


def _descend(rate: float, optimizer: torch.optim.Optimizer, clip: float | None) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
        if clip is not None:  # there is one group, that of all parameters
            nn.utils.clip_grad_norm_(group["params"], clip)
    optimizer.step()


def _save(path: Path, workspace: Workspace, name: str, step: int, module: nn.Module, optimizer: torch.optim.Optimizer, ema: EMA | None) -> None:
    state = {"fingerprint": workspace.fingerprint, "step": step, "seconds": workspace.seconds[name]}
    tensors = {"module": module.state_dict(), "optimizer": optimizer.state_dict(), "ema": ema.average if ema else None}
    save_checkpoint(path, state | tensors)


def _restore(path: Path, workspace: Workspace, module: nn.Module, optimizer: torch.optim.Optimizer, ema: EMA | None) -> tuple[int, float]:
    state = load_checkpoint(path, workspace.fingerprint, workspace.advice)
    if state is None:
        return 0, 0.0
    module.load_state_dict(state["module"])
    optimizer.load_state_dict(state["optimizer"])
    if ema is not None:
        ema.average = {name: value.to(ema.average[name].device) for name, value in state["ema"].items()}
    return int(state["step"]), float(state["seconds"])
