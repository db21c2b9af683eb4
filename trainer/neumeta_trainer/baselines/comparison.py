"""The methods that a manifold is compared with, each as a record of qualities at the sizes of the recipe's curve."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from neumeta_core.architecture import Architecture
from neumeta_core.configuration import Configuration, uniform
from torch import nn

from neumeta_trainer.baselines.experiment import Experiment, Trained
from neumeta_trainer.baselines.pruning import Importance, pruning_order
from neumeta_trainer.baselines.resampling import Rule, resampled
from neumeta_trainer.baselines.slimmable import switches, universal_sampler
from neumeta_trainer.baselines.zero_block import zero_block, zero_block_cost
from neumeta_trainer.checks import refuse_curve, refuse_impossible
from neumeta_trainer.compute import Compute
from neumeta_trainer.config import Order, Recipe
from neumeta_trainer.data import Splits
from neumeta_trainer.errors import RecipeRefused
from neumeta_trainer.machine import machine
from neumeta_trainer.results.evaluate import accuracy
from neumeta_trainer.results.record import SLIMMABLE, Measurement, RunRecord
from neumeta_trainer.structure.fusion import fuse_batch_norm
from neumeta_trainer.structure.ordering import channel_order, permute
from neumeta_trainer.structure.resize import resized
from neumeta_trainer.training.calibration import calibrated
from neumeta_trainer.training.progress import Progress

Member = Callable[[Configuration], nn.Module]
"""Makes the network at a configuration."""


def _pruned(importance: Importance, experiment: Experiment) -> Member:
    network = experiment.pretrained.network
    order = pruning_order(network, experiment.architecture, importance, experiment.labelled, seed=experiment.recipe.seed)
    return partial(_slice, permute(network, experiment.architecture, order), experiment.architecture)


def _prefix(order: Order, experiment: Experiment) -> Member:
    return partial(_slice, _ordered(order, experiment), experiment.architecture)


def _resampled(order: Order, rule: Rule, experiment: Experiment) -> Member:
    return partial(resampled, _ordered(order, experiment), experiment.architecture, rule=rule)


def _ordered(order: Order, experiment: Experiment) -> nn.Module:
    network = experiment.pretrained.network
    return permute(network, experiment.architecture, channel_order(network, experiment.architecture, order))


def _slice(network: nn.Module, architecture: Architecture, configuration: Configuration) -> nn.Module:
    return resized(network, architecture, configuration, None)


_DERIVED: dict[str, Callable[[Experiment], Member]] = {
    "prune l1": partial(_pruned, "l1"),
    "prune l2": partial(_pruned, "l2"),
    "prune taylor": partial(_pruned, "taylor"),
    "prune hessian": partial(_pruned, "hessian"),
    "prune random": partial(_pruned, "random"),
    "prefix none": partial(_prefix, "none"),
    "prefix importance": partial(_prefix, "importance"),
    "prefix smooth": partial(_prefix, "smooth"),
    "linear": partial(_resampled, "none", "mean"),
    "linear smooth": partial(_resampled, "smooth", "mean"),
    "integral": partial(_resampled, "smooth", "trapezoid"),
}
"""Made from the full network that was trained alone, without any further training."""
_CALIBRATED = " calibrated"
_ZERO_BLOCK, _UNIVERSAL = "zero block", "universally slimmable"

METHODS = (*(f"{name}{suffix}" for name in _DERIVED for suffix in ("", _CALIBRATED)), _ZERO_BLOCK, SLIMMABLE, _UNIVERSAL)
"""``calibrated``: with normalization statistics of its own at every size, as the members of a manifold's family have."""


def baseline_records(
    recipe: Recipe,
    splits: Splits,
    out: Path,
    progress: Progress,
    methods: Sequence[str] | None = None,
    *,
    final: bool = False,
    compute: Compute | None = None,
    command: str | None = None,
    variant: str = "",
) -> Iterator[RunRecord]:
    """One record for each method, all that the recipe has when none is named; ``final`` means the same as in ``pipeline.run``.

    Checkpoints live in ``out/checkpoints``: that of the full network is the one of ``train_alone``. ``command`` is what a record
    says about how it was made, up to the method, ``variant`` in which settings the recipe departs from that of its name, or a label for them. Raises
    ValueError for a method that does not exist and RecipeRefused, before anything is trained, for one that the recipe does not have
    and for a value or a size that the recipe cannot have.
    """
    refuse_impossible(recipe)
    compute = compute or Compute()
    experiment = Experiment(recipe, splits.to(compute), out, progress, final, compute)
    if unknown := set(methods or ()) - set(METHODS):
        raise ValueError(f"{sorted(unknown)[0]!r} is no method; expected some of {', '.join(METHODS)}.")
    refusals = {method: reason for method in METHODS if (reason := _refusal(method, experiment))}
    for method in methods or ():
        if method in refusals:
            raise RecipeRefused(f"{method}: {refusals[method]}.")
    refuse_curve(recipe, experiment.architecture)
    chosen = methods or [method for method in METHODS if method not in refusals]
    return (_record(method, experiment, command or f"neumeta baselines {recipe.name}", variant) for method in chosen)


def _refusal(method: str, experiment: Experiment) -> str | None:
    if method == _ZERO_BLOCK and not experiment.recipe.morph:
        return f"all of {experiment.recipe.name} morphs, so without it nothing is left"
    if method.endswith(_CALIBRATED) and not experiment.has_norms:
        return f"the network of {experiment.recipe.name} has no normalization to calibrate"
    return None


def _record(method: str, experiment: Experiment, command: str, variant: str) -> RunRecord:
    trained, measurements = _measured(method, experiment)
    return RunRecord(
        recipe=experiment.recipe.study or experiment.recipe.name,
        tier=experiment.recipe.tier,
        method=" ".join(filter(None, [method, variant])),
        seed=experiment.recipe.seed,
        split=experiment.parts[2],
        samples=len(experiment.parts[1]),
        measurements=tuple(measurements),
        training=trained.steps,
        trained_macs=trained.macs,
        seconds=round(trained.seconds, 1),
        machine=machine(experiment.compute.device),
        command=f"{command} --method '{method}'",
    )


def _measured(method: str, experiment: Experiment) -> tuple[Trained, list[Measurement]]:
    if method == _ZERO_BLOCK:
        return experiment.pretrained, [_zero(experiment)]
    if method == SLIMMABLE:
        fixed = switches(experiment.architecture)
        return experiment.slimmable, _curve(
            experiment, _calibrating(experiment.slimmable, experiment), unseen=lambda configuration: configuration not in fixed
        )
    if method == _UNIVERSAL:
        sampler = universal_sampler(experiment.recipe, experiment.architecture)
        return experiment.universal, _curve(experiment, _calibrating(experiment.universal, experiment), unseen=sampler.is_unseen)
    member = _DERIVED[method.removesuffix(_CALIBRATED)](experiment)
    if method.endswith(_CALIBRATED):
        return experiment.pretrained, _curve(experiment, lambda configuration: calibrated(member(configuration), experiment.calibration))
    return experiment.pretrained, _curve(experiment, member)


def _calibrating(trained: Trained, experiment: Experiment) -> Member:
    return lambda configuration: calibrated(resized(trained.network, experiment.architecture, configuration, None), experiment.calibration)


def _zero(experiment: Experiment) -> Measurement:
    fused = fuse_batch_norm(experiment.pretrained.network, experiment.example)
    cost = zero_block_cost(fused, experiment.costs)
    return Measurement(params=cost.params, macs=cost.macs, quality=_quality(zero_block(fused, experiment.costs), experiment))


def _curve(experiment: Experiment, member: Member, unseen: Callable[[Configuration], bool] | None = None) -> list[Measurement]:
    """``unseen`` says which sizes training at many sizes was kept from or never came to."""
    points = []
    for compression in experiment.recipe.curve:
        configuration = uniform(experiment.architecture, compression)
        network = experiment.compute.place(member(configuration))
        check_size(network, experiment, configuration)
        cost = experiment.cost(configuration)
        points.append(
            Measurement(
                compression=compression,
                params=cost.params,
                macs=cost.macs,
                quality=_quality(network, experiment),
                widths="held_out" if unseen is not None and unseen(configuration) else "trained",
            )
        )
    return points


def check_size(network: nn.Module, experiment: Experiment, configuration: Configuration) -> None:
    """The network has the widths of the manifold's member, layer by layer, and so its multiply-adds, and its parameters."""
    tensors = network.state_dict()
    for parameter in experiment.architecture.parameters:
        assert tensors[parameter.name].shape == parameter.shape(configuration), parameter.name
    fused = fuse_batch_norm(network, experiment.example)
    assert sum(tensor.numel() for tensor in fused.parameters()) == experiment.cost(configuration).params


def _quality(network: nn.Module, experiment: Experiment) -> float:
    return accuracy(network, experiment.parts[1], experiment.splits)
