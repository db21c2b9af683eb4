"""What every baseline of a recipe starts from, made when it is first asked for."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from neumeta_core.architecture import Architecture
from neumeta_core.configuration import Configuration
from neumeta_core.cost import Cost, cost_of
from torch import Tensor, nn

from neumeta_trainer.baselines.alone import trained_alone, whole_stage
from neumeta_trainer.baselines.slimmable import switches, train_slimmable, universal_sampler
from neumeta_trainer.compute import Compute
from neumeta_trainer.config import NetworkStage, Recipe
from neumeta_trainer.data import Batches, ImageSet, Splits
from neumeta_trainer.data.stages import batches_for, calibration_batches, divided
from neumeta_trainer.fingerprint import NETWORK_FIELDS, fingerprint
from neumeta_trainer.structure.fusion import fuse_batch_norm
from neumeta_trainer.structure.morphing import find_groups
from neumeta_trainer.training.effort import forward_macs
from neumeta_trainer.training.family import train_family
from neumeta_trainer.training.loop import Workspace
from neumeta_trainer.training.progress import Progress
from neumeta_trainer.training.slices import Slices


@dataclass(frozen=True)
class Trained:
    """A network that was trained, with what that took."""

    network: nn.Module
    steps: dict[str, int]
    """Of its stage, by its name."""
    macs: int
    """Multiply-adds of all forward passes."""
    seconds: float
    """Wall time of training."""


@dataclass(frozen=True)
class Experiment:
    """A recipe with its data, its trained networks and the sizes of its members."""

    recipe: Recipe
    splits: Splits
    """On the device of ``compute``."""
    out: Path
    progress: Progress
    final: bool = False
    compute: Compute = dataclasses.field(default_factory=Compute)

    @cached_property
    def parts(self) -> tuple[ImageSet, ImageSet, str]:
        """``(images to train on, images to measure on, name of the latter's split)``."""
        return divided(self.recipe, self.splits, final=self.final)

    @cached_property
    def example(self) -> Tensor:
        """A batch of two inputs."""
        return self.splits.prepare(self.parts[0].images[:2])

    @cached_property
    def labelled(self) -> list[tuple[Tensor, Tensor]]:
        """Inputs for statistics of normalization, with their labels: those that the manifold's targets are calibrated with."""
        return calibration_batches(self.recipe, self.parts[0], self.splits)

    @cached_property
    def calibration(self) -> list[Tensor]:
        """The same inputs without labels."""
        return [inputs for inputs, _ in self.labelled]

    @cached_property
    def architecture(self) -> Architecture:
        """Of the network with its normalization."""
        return find_groups(self.recipe, self.start, self.example).architecture

    @cached_property
    def costs(self) -> Architecture:
        """Of the network without normalization: what the members of a manifold cost."""
        return find_groups(self.recipe, fuse_batch_norm(self.start, self.example), self.example).architecture

    @cached_property
    def start(self) -> nn.Module:
        """The network before training, as the manifold's own stages find it."""
        with torch.random.fork_rng():
            torch.manual_seed(self.recipe.seed)
            # A recipe may hand out one and the same network every time.
            return self.compute.place(copy.deepcopy(self.recipe.network())).eval()

    @property
    def has_norms(self) -> bool:
        """Whether the network has statistics to calibrate."""
        return any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in self.start.modules())

    def cost(self, configuration: Configuration) -> Cost:
        """Of the manifold's member at a configuration."""
        return cost_of(self.costs, configuration)

    @cached_property
    def pretrained(self) -> Trained:
        """The full network, trained alone."""
        alone = trained_alone(self.recipe, 0.0, self.splits, self.out, self.progress, final=self.final, compute=self.compute)
        steps = alone.stage.optimization.steps
        return Trained(alone.network.eval(), {"alone": steps}, steps * alone.stage.batch * alone.cost.macs, alone.seconds)

    @cached_property
    def slimmable(self) -> Trained:
        """The network trained at the widths of slimmable networks."""
        network = copy.deepcopy(self.start)
        workspace = self._workspace(network)
        train_slimmable(network, self.architecture, self._batches(), self._stage, workspace)
        return self._trained("slimmable", network, lambda _: switches(self.architecture), workspace)

    @cached_property
    def universal(self) -> Trained:
        """The network trained as universally slimmable networks are."""
        network, sampler = copy.deepcopy(self.start), universal_sampler(self.recipe, self.architecture)
        workspace = self._workspace(network)
        # The stage of a base has no random members, without which two widths alone would be trained.
        stage = dataclasses.replace(self._stage, members=max(1, self._stage.members))
        train_family(Slices(network, self.architecture), sampler, self._batches(), stage, workspace, name="universal")
        return self._trained("universal", network, lambda step: sampler.sandwich(step, stage.members, even=stage.even), workspace)

    def _trained(self, name: str, network: nn.Module, members: Callable[[int], list[Configuration]], workspace: Workspace) -> Trained:
        """``name`` is that of the stage's checkpoint, ``members`` what it runs in a step."""
        macs = forward_macs(self.costs, members, self._stage)
        return Trained(network, {name: self._stage.optimization.steps}, macs, workspace.seconds[name])

    @cached_property
    def _stage(self) -> NetworkStage:
        return whole_stage(self.recipe)

    def _batches(self) -> Batches:
        return batches_for(self._stage, self.parts[0], self.splits, self.recipe.seed, self.compute)

    def _workspace(self, network: nn.Module) -> Workspace:
        digest = fingerprint(self.recipe, network, self.parts[0], self.splits, (*NETWORK_FIELDS, "tune"))
        return Workspace(self.out / "checkpoints", digest, self.progress, self.compute)
