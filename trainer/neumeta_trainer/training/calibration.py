"""Members of a trained family as networks of their own: statistics of normalization calibrated for their widths, then fused.

The fused weights are what an INR is fitted to.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from neumeta_core.architecture import Architecture
from neumeta_core.configuration import Configuration
from torch import Tensor, nn

from neumeta_trainer.structure.fusion import fuse_batch_norm
from neumeta_trainer.training.manifold_training import Target
from neumeta_trainer.training.moments import measure_moments
from neumeta_trainer.training.slices import Slices


@torch.no_grad()
def calibrated(network: nn.Module, inputs: Sequence[Tensor]) -> nn.Module:
    """The same network, with its normalization statistics measured anew over batches of training inputs; in eval mode."""
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over all batches
    # Only the normalization: Dropout in training mode would bias its statistics.
    network.eval()
    for norm in norms:
        norm.train()
    for batch in inputs:
        network(batch)
    return network.eval()


def fused_weights(member: nn.Module, example: Tensor) -> dict[str, Tensor]:
    """Parameters of a member after its normalization was fused: what an INR has to make."""
    return {name: value.detach() for name, value in fuse_batch_norm(member, example, checked=False).named_parameters()}


@dataclass(frozen=True)
class Family:
    """Slices that are networks, once their normalization statistics are calibrated."""

    slices: Slices
    calibration: list[Tensor]
    example: Tensor

    def seeing(self, images: int | None) -> Family:
        """The same family, calibrated on the first batches with so many images alone, and on one batch at least; None: on all."""
        if images is None:
            return self
        return dataclasses.replace(self, calibration=self.calibration[: max(1, images // len(self.calibration[0]))])

    def member(self, configuration: Configuration) -> nn.Module:
        """The calibrated slice, with its normalization."""
        return calibrated(self.slices.member(configuration), self.calibration)

    def fused_full(self) -> nn.Module:
        """The full network without normalization, fixed."""
        full = Configuration.of(self.slices.architecture.full_widths)
        return fuse_batch_norm(self.member(full), self.example).eval().requires_grad_(False)

    def target(self, configuration: Configuration, architecture: Architecture) -> Target:
        """Generated parameters of the fused ``architecture`` at a configuration."""
        weights = fused_weights(self.member(configuration), self.example)
        return Target(configuration, {parameter.name: weights[parameter.name] for parameter in architecture.parameters})

    def moments(self, configuration: Configuration, architecture: Architecture) -> dict[str, Tensor]:
        """What flows into the layers of the fused ``architecture`` at a configuration: weight -> ``[MOMENTS, in channels]``."""
        member = fuse_batch_norm(self.member(configuration), self.example, checked=False).eval()
        return measure_moments(member, architecture, configuration, self.calibration)
