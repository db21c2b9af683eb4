"""From a recipe to a manifold file, stage by stage; every stage can be interrupted and resumed."""

from __future__ import annotations

import copy
import dataclasses
import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from neumeta_core.configuration import uniform
from neumeta_core.inr import INR, AnchoredINR, build_inr
from torch import nn

from neumeta_trainer.checks import (
    refuse_batches,
    refuse_classes,
    refuse_frozen,
    refuse_impossible,
    refuse_unused,
    refuse_warm_start,
    refuse_what_comes_later,
)
from neumeta_trainer.compute import Compute
from neumeta_trainer.config import Recipe
from neumeta_trainer.data import Batches, Splits
from neumeta_trainer.data.stages import batches_for, calibration_batches, divided
from neumeta_trainer.export.manifold import make_manifold, rehearse, write_manifold
from neumeta_trainer.fingerprint import BASE_FIELDS, INR_FIELDS, NETWORK_FIELDS, fingerprint
from neumeta_trainer.machine import machine
from neumeta_trainer.results.artifacts import with_all_precisions
from neumeta_trainer.results.evaluate import accuracy, measure_beyond, measure_curve, measure_members
from neumeta_trainer.results.report import Result
from neumeta_trainer.structure.channel_groups import Analysis
from neumeta_trainer.structure.fusion import fuse_batch_norm
from neumeta_trainer.structure.morphing import find_groups, on_cpu
from neumeta_trainer.structure.ordering import channel_order, permute
from neumeta_trainer.training.calibration import Family
from neumeta_trainer.training.family import train_family, train_network
from neumeta_trainer.training.loop import OWN_FOLDER, Workspace
from neumeta_trainer.training.manifold_training import fit, tune
from neumeta_trainer.training.progress import Progress
from neumeta_trainer.training.row_scales import fit_scales
from neumeta_trainer.training.sampler import Sampler
from neumeta_trainer.training.slices import Slices

logger = logging.getLogger(__name__)

_BORROWED = "--networks needs a run that differs from this one in settings of inr, fit, tune and measurement alone."


@dataclass(frozen=True)
class Plan:
    """A run that nothing speaks against, before anything of it is trained."""

    recipe: Recipe
    network: nn.Module
    """Untrained; a run trains it in place."""
    found: Analysis
    sampler: Sampler
    final: bool
    compute: Compute


def run(
    recipe: Recipe,
    splits: Splits,
    out: Path,
    progress: Progress,
    *,
    final: bool = False,
    compute: Compute | None = None,
    networks: Path | None = None,
) -> Result:
    """Train the manifold of a recipe and write ``out/manifold.safetensors``.

    Without ``final`` some training images are set aside and the curve is measured on them: for choices. With it all
    training images are used and the curve is measured on the test split: once, at the end. Checkpoints live in
    ``out/checkpoints``; a run that was interrupted goes on where it was and ends with the same bits (on CUDA nearly). ``compute`` is the CPU
    in fp32 when it is not given. ``networks`` is the folder of another run whose base and family are the same: they are taken
    from there, so that manifolds that differ in their INR alone share them. Raises what ``planned`` does before anything is
    trained, then CheckpointRefused and TrainingCollapsed.
    """
    return carried_out(planned(recipe, splits, final=final, compute=compute), splits, out, progress, networks=networks)


def planned(recipe: Recipe, splits: Splits, *, final: bool = False, compute: Compute | None = None) -> Plan:
    """A run as ``run`` takes it, with all that can be refused before hours of training refused.

    Raises RecipeRefused, NetworkUnsupported, and ManifoldRefused for what no file can hold.
    """
    refuse_impossible(recipe)
    refuse_warm_start(recipe)
    compute = compute or Compute()
    splits = splits.to(compute)
    network = compute.place(_build(recipe))
    refuse_frozen(recipe, network)
    train, measured, _ = divided(recipe, splits, final=final)
    refuse_batches(recipe, train, splits, compute)
    example = splits.prepare(train.images[:2])
    found = find_groups(recipe, network, example)
    refuse_unused(recipe, network, example, compute)
    sampler = Sampler.of(recipe, found.architecture)
    refuse_what_comes_later(recipe, sampler)
    untrained = fuse_batch_norm(on_cpu(network), example.cpu())
    with torch.no_grad():
        refuse_classes(splits, untrained(example.cpu()), train, measured)
    rehearse(recipe, splits, untrained, find_groups(recipe, untrained, example).architecture, example.cpu(), measured)
    return Plan(recipe, network, found, sampler, final, compute)


def carried_out(plan: Plan, splits: Splits, out: Path, progress: Progress, *, networks: Path | None = None) -> Result:
    """What ``run`` says, once: the plan's network is then trained. Raises CheckpointRefused and TrainingCollapsed."""
    recipe, network, found, sampler, compute = plan.recipe, plan.network, plan.found, plan.sampler, plan.compute
    for note in found.notes:
        logger.warning("stays as it is: %s", note)
    splits = splits.to(compute)
    train, measured, split = divided(recipe, splits, final=plan.final)
    base = Workspace((networks or out) / "checkpoints", fingerprint(recipe, network, train, splits, BASE_FIELDS), progress, compute)
    if networks is not None:
        base = dataclasses.replace(base, advice=_BORROWED)
    workspace = dataclasses.replace(base, fingerprint=fingerprint(recipe, network, train, splits, NETWORK_FIELDS))
    example = splits.prepare(train.images[:2])
    if recipe.base is not None:
        train_network("base", network, batches_for(recipe.base, train, splits, recipe.seed, compute), recipe.base, base)
    network = permute(network, found.architecture, channel_order(network, found.architecture, recipe.order))
    slices = Slices(network, found.architecture)
    if recipe.family is not None:
        slices = Slices(network, found.architecture, recipe.family.levels, recipe.family.upward)
        train_family(slices, sampler, batches_for(recipe.family, train, splits, recipe.seed, compute), recipe.family, workspace)

    calibration = [inputs for inputs, _ in calibration_batches(recipe, train, splits)]
    family = Family(slices, calibration, example)
    fused = family.fused_full()
    architecture = find_groups(recipe, fused, example).architecture
    sampler = dataclasses.replace(sampler, architecture=architecture)
    batches = batches_for(recipe.tune, train, splits, recipe.seed + 1, compute) if recipe.tune else None
    digest = fingerprint(recipe, network, train, splits, INR_FIELDS)
    workspace = dataclasses.replace(workspace, folder=out / "checkpoints", fingerprint=digest, advice=OWN_FOLDER)
    inr = _train_inr(recipe, family, fused, sampler, batches, workspace)

    curve = measure_curve(inr, fused, sampler, recipe.curve, measured, splits, split, recipe.sampling)
    manifold = make_manifold(recipe, splits, inr, fused, architecture, curve, example, measured, images=len(train))
    calibrated_slices = {c: accuracy(family.member(uniform(found.architecture, c)), measured, splits) for c in recipe.curve}
    unequal = sampler.independent(recipe.unequal)
    return Result(
        write_manifold(with_all_precisions(manifold, measured, splits), out),
        calibrated_slices,
        tuple(found.notes),
        unequal=measure_members(inr, fused, sampler, unequal, measured, splits, recipe.sampling),
        unequal_slices=tuple(accuracy(family.member(configuration), measured, splits) for configuration in unequal),
        beyond=measure_beyond(inr, fused, sampler, recipe.beyond, measured, splits, recipe.sampling),
        seconds=dict(workspace.seconds),
        machine=machine(compute.device),
    )


def _train_inr(recipe: Recipe, family: Family, fused: nn.Module, sampler: Sampler, batches: Batches | None, workspace: Workspace) -> INR:
    target = partial(family.target, architecture=sampler.architecture)
    full = target(sampler.full)
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        inr = build_inr(sampler.architecture, recipe.inr).to(workspace.compute.device)
    inr.start_from(full.weights, *(target(level).weights for level in inr.levels))
    if isinstance(inr, AnchoredINR) and inr.bias_blocks:
        inr.take_moments(*(family.moments(member, sampler.architecture) for member in (sampler.full, *inr.levels)))
    members = sampler.sandwich(0, recipe.fit.targets) if recipe.fit.targets else []
    if isinstance(inr, AnchoredINR) and inr.row_scales is not None:
        seen = partial(family.seeing(recipe.fit.target_calibration).target, architecture=sampler.architecture)
        fit_scales(inr, [member for member in dict.fromkeys(members) if member not in inr.exact], seen, recipe.fit, workspace)
    else:
        fit(inr, [full, *(target(member) for member in members if member != sampler.full)], recipe.fit, workspace, recipe.seed)
    if recipe.tune is not None and batches is not None:
        tune(inr, fused, full, sampler, batches, recipe.tune, workspace)
    return stored(inr.eval())


@torch.no_grad()
def stored(inr: INR) -> INR:
    """Round the INR to what the file holds (fp16), so that the curve is measured on what ships."""
    for tensor in (*inr.parameters(), *inr.buffers()):
        tensor.copy_(tensor.half().float())
    return inr


def _build(recipe: Recipe) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        # A recipe may hand out one and the same network every time.
        return copy.deepcopy(recipe.network())
