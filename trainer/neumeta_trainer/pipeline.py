"""From a recipe to a manifold file, stage by stage; every stage can be interrupted and resumed."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from neumeta_core.architecture import Architecture
from neumeta_core.configuration import uniform
from neumeta_core.errors import InvalidField
from neumeta_core.inr import INR, AnchoredINR, AnchoredSettings, build_inr
from neumeta_core.inr.anchored import exact_members
from neumeta_core.levels import level_configurations
from torch import Tensor, nn

from neumeta_trainer.checks import refuse_impossible
from neumeta_trainer.compute import Compute
from neumeta_trainer.config import NetworkStage, Recipe, TuneStage
from neumeta_trainer.data import Batches, ImageSet, Splits
from neumeta_trainer.errors import RecipeRefused
from neumeta_trainer.export.manifold import make_manifold, rehearse, write_manifold
from neumeta_trainer.results.artifacts import with_all_precisions
from neumeta_trainer.results.evaluate import accuracy, measure_beyond, measure_curve, measure_members
from neumeta_trainer.results.record import machine
from neumeta_trainer.results.report import Result
from neumeta_trainer.structure.channel_groups import Analysis, find_architecture
from neumeta_trainer.structure.fusion import fuse_batch_norm
from neumeta_trainer.structure.ordering import channel_order, permute
from neumeta_trainer.training.calibration import Family
from neumeta_trainer.training.family import train_family, train_network
from neumeta_trainer.training.loop import OWN_FOLDER, Workspace
from neumeta_trainer.training.manifold_training import drawn_members, fit, tune
from neumeta_trainer.training.progress import Progress
from neumeta_trainer.training.row_scales import fit_scales
from neumeta_trainer.training.sampler import Sampler
from neumeta_trainer.training.slices import Slices

logger = logging.getLogger(__name__)

_CALIBRATION_BATCH = 256
BASE_FIELDS = ("data", "base", "seed")
"""What the base network depends on."""
NETWORK_FIELDS = ("data", "order", "morph", "max_compression", "granularity", "held_out", "base", "family", "seed")
"""What the family depends on: recipes that differ in other fields can share its checkpoint."""
INR_FIELDS = (*NETWORK_FIELDS, "inr", "fit", "tune")
"""What the stages of the INR depend on."""
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
    train, measured, _ = divided(recipe, splits, final=final)
    refuse_batches(recipe, train, splits, compute)
    example = splits.prepare(train.images[:2])
    found = analyse(recipe, network, example)
    sampler = Sampler.of(recipe, found.architecture)
    refuse_what_comes_later(recipe, sampler)
    untrained = fuse_batch_norm(_on_cpu(network), example.cpu())
    rehearse(recipe, splits, untrained, analyse(recipe, untrained, example).architecture, example.cpu(), measured)
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
    architecture = analyse(recipe, fused, example).architecture
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


def analyse(recipe: Recipe, network: nn.Module, example: Tensor) -> Analysis:
    """The channel groups of a network that resize, with the limits of the recipe; RecipeRefused when ``morph`` names none of them."""
    # On the CPU in the plain layout: what is found does not depend on the device, and tracing is quick.
    find = partial(
        find_architecture,
        _on_cpu(network),
        example.cpu().contiguous(),
        min_ratio=1 - recipe.max_compression,
        max_compression=recipe.max_compression,
        granularity=recipe.granularity,
    )
    found: Analysis = find()
    names = [group.name for group in found.architecture.groups]
    if unknown := set(recipe.morph) - set(names):
        expected = f"expected some of {', '.join(names)}"
        raise RecipeRefused(f"morph: the network has no channel group {sorted(unknown)[0]!r} that can be resized; {expected}.")
    # A group is named after a layer; parts of one layer's channels have a number behind it.
    others = {name.partition("#")[0] for name in names if recipe.morph and name not in recipe.morph}
    return find(ignore=sorted(others)) if others else found


def refuse_warm_start(recipe: Recipe) -> None:
    """RecipeRefused for a warm start of row scales that has nothing to learn from, or settings of one that there is not."""
    has_scales = isinstance(recipe.inr, AnchoredSettings) and recipe.inr.scales > 0
    if has_scales and recipe.fit.optimization.steps and not recipe.fit.targets:
        raise RecipeRefused("fit.targets: row scales learn from random members of the family; expected at least 1, or fit.optimization.steps=0.")
    if recipe.fit.target_calibration is not None and not has_scales:
        raise RecipeRefused("fit.target_calibration: only row scales take it; expected inr.scales above 0, or no target_calibration.")


def refuse_batches(recipe: Recipe, train: ImageSet, splits: Splits, compute: Compute) -> None:
    """RecipeRefused for a batch, of whichever stage, that the processes that train together cannot share."""
    for name, stage in (("base", recipe.base), ("family", recipe.family), ("tune", recipe.tune)):
        if stage is not None:
            try:
                batches_for(stage, train, splits, recipe.seed, compute)
            except RecipeRefused as error:
                raise RecipeRefused(f"{name}.{error}") from None


def refuse_what_comes_later(recipe: Recipe, sampler: Sampler) -> None:
    """RecipeRefused for sizes that the INR's training or the curve would ask for in vain, hours later."""
    sampler.refuse_held_out(level_configurations(sampler.architecture, recipe.inr.levels) if isinstance(recipe.inr, AnchoredSettings) else ())
    if recipe.tune is not None:
        drawn_members(sampler, recipe.tune, 0, exact_members(sampler.architecture, recipe.inr))
    refuse_curve(recipe, sampler.architecture)


def refuse_curve(recipe: Recipe, architecture: Architecture) -> None:
    """RecipeRefused for a compression at which no member can be measured."""
    for compression in recipe.curve:
        try:
            uniform(architecture, compression)
        except InvalidField as error:
            raise RecipeRefused(f"curve: {error}") from None


def divided(recipe: Recipe, splits: Splits, *, final: bool) -> tuple[ImageSet, ImageSet, str]:
    """``(images to train on, images to measure on, name of the latter's split)``; RecipeRefused when one of these has no image."""
    if final:
        return splits.train, splits.test, "test"
    images = len(splits.train)
    count = round(recipe.validation * images)
    if not 0 < count < images:
        raise RecipeRefused(f"validation: {recipe.validation:g} of {images} images is {count}; expected a share that leaves some on both sides.")
    return *splits.validation(count), "validation"


def batches_for(stage: NetworkStage | TuneStage, train: ImageSet, splits: Splits, seed: int, compute: Compute) -> Batches:
    """The batches of a stage, with its augmentation."""
    return Batches(train, splits, stage.batch, seed=seed, shift=stage.shift, flip=stage.flip, processes=compute.processes)


@torch.no_grad()
def stored(inr: INR) -> INR:
    """Round the INR to what the file holds (fp16), so that the curve is measured on what ships."""
    for tensor in (*inr.parameters(), *inr.buffers()):
        tensor.copy_(tensor.half().float())
    return inr


def fingerprint(recipe: Recipe, network: nn.Module, train: ImageSet, splits: Splits, fields: tuple[str, ...]) -> str:
    """Digest of all that decides a stage's result: these fields of the recipe, the network's weights, the training images as they are prepared."""
    settings = dataclasses.asdict(recipe) | {"network": None}
    chosen = {name: settings[name] for name in fields} | {"prepared": (splits.scale, splits.mean, splits.std)}
    digest = hashlib.sha256(repr(chosen).encode())
    for tensor in (*network.state_dict().values(), train.images, train.labels):
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _on_cpu(network: nn.Module) -> nn.Module:
    """A copy in the plain layout."""
    # Stubs of nn.Module.to know no memory format together with a device.
    return copy.deepcopy(network).to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload, no-any-return]


def _build(recipe: Recipe) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        # A recipe may hand out one and the same network every time.
        return copy.deepcopy(recipe.network())


def calibration_batches(recipe: Recipe, train: ImageSet, splits: Splits) -> list[tuple[Tensor, Tensor]]:
    """Inputs for the normalization statistics of a member, with their labels: ``fit.calibration`` images in batches of one size.

    They are augmented as the network's training was: statistics of plain images cost a CIFAR ResNet-20 1.7 points.
    """
    trained = recipe.family or recipe.base
    shift, flip = (trained.shift, trained.flip) if trained else (0, False)
    # Every process measures all of them: those that train together must hold the same statistics.
    batches = Batches(train, splits, min(_CALIBRATION_BATCH, recipe.fit.calibration), seed=recipe.seed + 2, shift=shift, flip=flip)
    return [batches.at(step) for step in range(max(1, recipe.fit.calibration // batches.size))]
