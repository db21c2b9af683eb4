"""Training of the INR: warm start on given weights, then end to end through the networks that it makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from neumeta_core.configuration import Configuration
from neumeta_core.inr import INR, AnchoredINR, FactorisedINR, Noise
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from neumeta_trainer.compute import Compute
from neumeta_trainer.config import FitStage, TuneStage
from neumeta_trainer.data import Batches
from neumeta_trainer.errors import RecipeRefused
from neumeta_trainer.randomness import generator_for
from neumeta_trainer.structure.resize import at_widths
from neumeta_trainer.structure.shared_layers import SharedLayers
from neumeta_trainer.training.collapse import check_predictions, check_scale
from neumeta_trainer.training.loop import Workspace, optimize
from neumeta_trainer.training.losses import distillation, reconstruction, regularization
from neumeta_trainer.training.objective import Given, Objective
from neumeta_trainer.training.padded import PaddedGeneration, is_exact, logits_of
from neumeta_trainer.training.sampler import Sampler
from neumeta_trainer.training.slices import Slices

CHECK_EVERY = 200


@dataclass(frozen=True)
class Target:
    """Weights that the INR should make at a configuration: parameter name -> values."""

    configuration: Configuration
    weights: Mapping[str, Tensor]


def fit(inr: INR, targets: Sequence[Target], stage: FitStage, workspace: Workspace, seed: int) -> None:
    """Warm start: the INR learns the targets' weights by reconstruction alone, in place.

    It leaves the saddle at zero, where two stacked generated layers keep each other. Raises TrainingCollapsed when the
    weights at any target are of another size than wanted after its steps.
    """

    def chosen(step: int) -> Tensor:
        return torch.randperm(len(targets), generator=generator_for("fit", seed, step))[: stage.members]

    def loss(step: int) -> Tensor:
        errors = [reconstruction(inr(targets[index].configuration), targets[index].weights) for index in chosen(step).tolist()]
        return torch.stack(errors).mean()

    captured = workspace.compute.captures and isinstance(inr, AnchoredINR | FactorisedINR)
    optimize("fit", inr, padded_reconstruction(inr, targets, chosen) if captured else loss, stage.optimization, workspace)
    if stage.optimization.steps == 0:  # What it starts from is what the recipe wants.
        return
    with torch.no_grad():
        for target in targets:
            check_scale(inr.architecture, target.configuration, inr(target.configuration), target.weights)


def padded_reconstruction(inr: INR, targets: Sequence[Target], chosen: Callable[[int], Tensor]) -> Objective:
    """The same mean of ``losses.reconstruction`` over chosen targets, for members at full shapes."""
    generation = PaddedGeneration(cast("AnchoredINR", inr))
    widths, opened = (values.to(next(inr.parameters()).device) for values in generation.describe([target.configuration for target in targets]))
    wanted, importance = widths.new_zeros(2, len(targets), sum(generation.flat.sizes))
    for row, target in enumerate(targets):
        places = generation.flat.places(target.configuration)
        unit = {name: values.square().mean().clamp_min(1e-8) * values.numel() * len(target.weights) for name, values in target.weights.items()}
        wanted[row, places] = generation.flat.joined(target.weights)
        importance[row, places] = generation.flat.joined({name: (1 / unit[name]).expand(values.shape) for name, values in target.weights.items()})

    def loss(index: Tensor) -> Tensor:
        errors = generation(widths[index], opened[index]) - wanted[index]
        weighted: Tensor = errors.square() * importance[index]
        return weighted.sum(dim=1).mean()

    return Objective(lambda step: (chosen(step),), loss, widths.device)


def tune(inr: INR, network: nn.Module, full: Target, sampler: Sampler, batches: Batches, stage: TuneStage, workspace: Workspace) -> None:
    """Train the INR in place through ``network`` (fused; its own full weights are the teacher and stay as they are).

    One backward pass goes through the generated weights into the INR: the sum over weights of eq. 11.
    """
    compute = workspace.compute
    plain = not (stage.noise or stage.reconstruction or stage.regularization) and isinstance(inr, AnchoredINR | FactorisedINR)
    loss: Callable[[int], Tensor] | Objective
    if compute.captures and plain and is_exact(Slices(network, sampler.architecture), sampler.sandwich(0, stage.members), batches.at(0)[0][:8]):
        loss = padded_task(inr, network, sampler, batches, stage, compute)
    else:
        loss = sliced_task(inr, network, full, sampler, batches, stage, compute)
    optimize("tune", inr, loss, stage.optimization, workspace)


def sliced_task(
    inr: INR, network: nn.Module, full: Target, sampler: Sampler, batches: Batches, stage: TuneStage, compute: Compute
) -> Callable[[int], Tensor]:
    """All that a stage may ask for, with members cut to their widths."""
    criterion = nn.CrossEntropyLoss()
    shared = SharedLayers(network, inr.architecture, batches.at(0)[0][:2])

    @shared.once()
    def loss(step: int) -> Tensor:
        inputs, labels = batches.at(step)
        teacher = taught(network, inputs, compute) if stage.distillation else None
        drawn = drawn_members(sampler, stage, step, inr.exact)
        noise = Noise(stage.noise, generator_for("noise", sampler.seed, step)) if stage.noise else None
        total = inputs.new_zeros(())
        for configuration in drawn:
            made = inr(configuration, noise)
            # The INR itself stays in fp32: bf16 cannot tell apart the positions of a wide layer.
            with compute.autocast():
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

    return loss


def padded_task(inr: INR, network: nn.Module, sampler: Sampler, batches: Batches, stage: TuneStage, compute: Compute) -> Objective:
    """Task and distillation of members at full shapes: the same kernels in every step, which a graph can hold."""
    generation = PaddedGeneration(cast("AnchoredINR", inr))
    shared = SharedLayers(network, inr.architecture, batches.at(0)[0][:2])

    def given(step: int) -> Given:
        members = drawn_members(sampler, stage, step, inr.exact)
        if step % CHECK_EVERY == 0:
            check_members(inr, network, sampler, members, batches.at(step)[0])
        return *generation.describe(members), *batches.drawn(step)

    @shared.once()
    def loss(widths: Tensor, opened: Tensor, index: Tensor, shifts: Tensor, mirrored: Tensor) -> Tensor:
        inputs, labels = batches.made(index, shifts, mirrored)
        # First, for what members have in common must be there before they run side by side.
        teacher = taught(network, inputs, compute) if stage.distillation or shared.paths else None
        logits = logits_of(network, generation.flat, generation(widths, opened), inputs, compute).flatten(0, 1)
        total = stage.task * functional.cross_entropy(logits, labels.repeat(len(widths)))
        if teacher is not None:
            total = total + stage.distillation * distillation(logits, teacher.repeat(len(widths), 1), stage.temperature)
        return total

    return Objective(given, loss, compute.device)


def drawn_members(sampler: Sampler, stage: TuneStage, step: int, exact: Sequence[Configuration]) -> list[Configuration]:
    """The members of a step; RecipeRefused when there are none, for the INR has all that the sandwich rule trains."""
    even = stage.even
    drawn = sampler.sandwich(step, stage.members, exact, even=even) if stage.sandwich else sampler.draw(step, stage.members, even=even)
    if not drawn:
        raise RecipeRefused("tune.members: no member is left to train: expected at least 1, for inr.exact leaves all others as they are.")
    return drawn


@torch.no_grad()
def taught(network: nn.Module, inputs: Tensor, compute: Compute) -> Tensor:
    """Logits of the teacher ``[n, classes]``."""
    with compute.autocast():
        logits: Tensor = network(inputs).float()
    return logits


@torch.no_grad()
def check_members(inr: INR, network: nn.Module, sampler: Sampler, members: Sequence[Configuration], inputs: Tensor) -> None:
    """Raise TrainingCollapsed when any of these members is blind to its input."""
    for configuration in members:
        check_predictions(configuration, generated_forward(network, sampler, configuration, inr(configuration), inputs))


def generated_forward(network: nn.Module, sampler: Sampler, configuration: Configuration, made: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
    """Logits of the member with generated weights, differentiable with respect to them."""
    with at_widths(network, sampler.architecture, configuration):
        logits: Tensor = functional_call(network, dict(made), (inputs,))
    return logits
