"""A network and its slices, trained together with their normalization.

Slices without normalization barely learn from a bad start; with it they learn fast. So the family is trained with batch statistics
(sandwich rule and in-place distillation: US-Nets, ICCV 2019). What its members are afterwards is in ``calibration``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from neumeta_trainer.compute import Compute
from neumeta_trainer.config import NetworkStage
from neumeta_trainer.data import Batches
from neumeta_trainer.training.loop import Workspace, optimize
from neumeta_trainer.training.losses import distillation
from neumeta_trainer.training.objective import Given, Objective
from neumeta_trainer.training.padded import PaddedSlices, is_exact
from neumeta_trainer.training.sampler import Sampler
from neumeta_trainer.training.slices import Slices


def train_network(
    name: str, network: nn.Module, batches: Batches, stage: NetworkStage, workspace: Workspace, teacher: nn.Module | None = None
) -> None:
    """Train a network alone, in place: on the task, or on the soft output of a trained ``teacher`` in eval mode."""

    def loss(index: Tensor, shifts: Tensor, mirrored: Tensor) -> Tensor:
        inputs, labels = batches.made(index, shifts, mirrored)
        with workspace.compute.autocast():
            if teacher is None:
                return functional.cross_entropy(network(inputs), labels)
            with torch.no_grad():
                wanted = teacher(inputs)
            return distillation(network(inputs).float(), wanted.float(), stage.temperature)

    network.train()
    optimize(name, network, Objective(batches.drawn, loss, workspace.compute.device), stage.optimization, workspace)
    network.eval()


def train_family(slices: Slices, sampler: Sampler, batches: Batches, stage: NetworkStage, workspace: Workspace, *, name: str = "family") -> None:
    """Train a network with BatchNorm and its slices, in place: the full one on the task, the others on its soft output."""
    compute = workspace.compute
    slices.train()
    captured = compute.captures and is_exact(slices, sampler.sandwich(0, stage.members, even=stage.even), batches.at(0)[0][:8])
    loss_of = padded_loss if captured else sliced_loss
    optimize(name, slices, loss_of(slices, sampler, batches, stage, compute), stage.optimization, workspace)
    slices.eval()


def sliced_loss(slices: Slices, sampler: Sampler, batches: Batches, stage: NetworkStage, compute: Compute) -> Callable[[int], Tensor]:
    """Members cut to their widths: the least arithmetic."""

    def loss(step: int) -> Tensor:
        inputs, labels = batches.at(step)
        full, *others = sampler.sandwich(step, stage.members, even=stage.even)
        with compute.autocast():
            # Softmax in fp32: bf16 holds a logarithm of a probability to a hundredth.
            logits = slices(full, inputs).float()
            total = functional.cross_entropy(logits, labels)
            for configuration in others:
                total = total + distillation(slices(configuration, inputs).float(), logits, stage.temperature)
        return total

    return loss


def padded_loss(slices: Slices, sampler: Sampler, batches: Batches, stage: NetworkStage, compute: Compute) -> Objective:
    """The same loss of members at full shapes: the same kernels in every step, which a graph can hold."""
    padded = PaddedSlices(slices, compute)

    def given(step: int) -> Given:
        return *padded.describe(sampler.sandwich(step, stage.members, even=stage.even)), *batches.drawn(step)

    def loss(widths: Tensor, opened: Tensor, index: Tensor, shifts: Tensor, mirrored: Tensor) -> Tensor:
        inputs, labels = batches.made(index, shifts, mirrored)
        logits = padded(widths, opened, inputs)
        others = len(widths) - 1
        taught = distillation(logits[1:].flatten(0, 1), logits[0].repeat(others, 1), stage.temperature)
        return functional.cross_entropy(logits[0], labels) + others * taught

    return Objective(given, loss, compute.device)
