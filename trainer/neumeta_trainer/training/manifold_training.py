"""Training of the INR: warm start on given weights, then end to end through the networks that it makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from neumeta_core.configuration import Configuration
from neumeta_core.inr import INR, Noise
from torch import Tensor, nn
from torch.func import functional_call

from neumeta_trainer.config import FitStage, TuneStage
from neumeta_trainer.data import Batches
from neumeta_trainer.randomness import generator_for
from neumeta_trainer.structure.resize import at_widths
from neumeta_trainer.training.collapse import check_predictions, check_scale
from neumeta_trainer.training.loop import Workspace, optimize
from neumeta_trainer.training.losses import distillation, reconstruction, regularization
from neumeta_trainer.training.sampler import Sampler

CHECK_EVERY = 200


@dataclass(frozen=True)
class Target:
    """Weights that the INR should make at a configuration: parameter name -> values."""

    configuration: Configuration
    weights: Mapping[str, Tensor]


def fit(inr: INR, targets: Sequence[Target], stage: FitStage, workspace: Workspace, seed: int) -> None:
    """Warm start: the INR learns the targets' weights by reconstruction alone, in place.

    It leaves the saddle at zero, where two stacked generated layers keep each other. Raises TrainingCollapsed when the
    weights at any target are of another size than wanted afterwards.
    """

    def loss(step: int) -> Tensor:
        chosen = torch.randperm(len(targets), generator=generator_for("fit", seed, step))[: stage.members]
        errors = [reconstruction(inr(targets[index].configuration), targets[index].weights) for index in chosen.tolist()]
        return torch.stack(errors).mean()

    optimize("fit", inr, loss, stage.optimization, workspace)
    with torch.no_grad():
        for target in targets:
            check_scale(inr.architecture, target.configuration, inr(target.configuration), target.weights)


def tune(inr: INR, network: nn.Module, full: Target, sampler: Sampler, batches: Batches, stage: TuneStage, workspace: Workspace) -> None:
    """Train the INR in place through ``network`` (fused; its own full weights are the teacher and stay as they are).

    One backward pass goes through the generated weights into the INR: the sum over weights of eq. 11.
    """
    criterion = nn.CrossEntropyLoss()

    @torch.no_grad()
    def taught(inputs: Tensor) -> Tensor:
        with workspace.compute.autocast():
            logits: Tensor = network(inputs).float()
        return logits

    def loss(step: int) -> Tensor:
        inputs, labels = batches.at(step)
        teacher = taught(inputs) if stage.distillation else None
        drawn = sampler.sandwich(step, stage.members) if stage.sandwich else sampler.draw(step, stage.members)
        noise = Noise(stage.noise, generator_for("noise", sampler.seed, step)) if stage.noise else None
        total = inputs.new_zeros(())
        for configuration in drawn:
            made = inr(configuration, noise)
            # The INR itself stays in fp32: bf16 cannot tell apart the positions of a wide layer.
            with workspace.compute.autocast():
                logits = generated_forward(network, sampler, configuration, made, inputs).float()
            if step % CHECK_EVERY == 0:
                check_predictions(configuration, logits)
            total = total + stage.task * criterion(logits, labels)
            if teacher is not None:
                total = total + stage.distillation * distillation(logits, teacher, stage.temperature)
            if stage.reconstruction and configuration == full.configuration:
                total = total + stage.reconstruction * reconstruction(made, full.weights)
            if stage.regularization:
                total = total + stage.regularization * regularization(made)
        return total / len(drawn)

    optimize("tune", inr, loss, stage.optimization, workspace)


def generated_forward(network: nn.Module, sampler: Sampler, configuration: Configuration, made: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
    """Logits of the member with generated weights, differentiable with respect to them."""
    with at_widths(network, sampler.architecture, configuration):
        logits: Tensor = functional_call(network, dict(made), (inputs,))
    return logits
