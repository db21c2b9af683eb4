"""Warm start of an anchored INR's row scales: a regression on calibrated members, without images and without the network.

A layer of a member between levels is, but for the scales of its rows, all but what the INR starts with. Every target gives one number for each
row that it has, and one network of the sizes learns them all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import torch
from neumeta_core.blocks import split
from neumeta_core.configuration import Configuration
from neumeta_core.coordinates import encode_sizes, width_ratios
from neumeta_core.inr import AnchoredINR
from neumeta_core.materialize.products import ChannelProducts
from torch import Tensor
from torch.nn import functional

from neumeta_trainer.config import FitStage
from neumeta_trainer.training.checkpoint import load_checkpoint, save_checkpoint
from neumeta_trainer.training.interrupt import deferred_interrupt
from neumeta_trainer.training.loop import SECONDS_BETWEEN_CHECKPOINTS, Workspace, optimize
from neumeta_trainer.training.manifold_training import Target

_LIMIT = 1.5
"""Of the logarithm of a factor: where the INR starts with next to nothing, a row's factor says nothing about its spread."""


TargetOf = Callable[[Configuration], Target]


def fit_scales(inr: AnchoredINR, members: Sequence[Configuration], target: TargetOf, stage: FitStage, workspace: Workspace) -> None:
    """Teach ``inr.row_scales`` in place what the rows of ``target(member)`` have in addition to what the INR makes as it is."""
    if inr.row_scales is None or not members:
        return
    wanted = measured(inr, members, target, workspace).to(workspace.compute.device)
    known = wanted.isfinite()
    if not known.any():
        return
    conditions = encode_sizes(torch.stack([width_ratios(inr.architecture, member, wanted) for member in members]))
    opened = wanted.new_tensor([inr.gates(member)[-1:] for member in members])
    wanted = wanted.nan_to_num()

    scales = inr.row_scales

    def loss(_step: int) -> Tensor:
        errors: Tensor = scales(conditions) * opened - wanted
        return (errors.square() * known).sum() / known.sum()

    optimize("fit", scales, loss, stage.optimization, workspace)


@torch.no_grad()
def measured(inr: AnchoredINR, members: Sequence[Configuration], target: TargetOf, workspace: Workspace) -> Tensor:
    """Logarithms of the factors of all rows for all members: ``[members, rows]``; NaN where there is no such row, or nothing is known of it.

    What was measured is kept in the run's folder, like the state of a stage that trains.
    """
    path = workspace.folder / "targets.pt"
    state = load_checkpoint(path, workspace.fingerprint, workspace.advice)
    found: list[Tensor] = list(state["factors"]) if state else []
    before: float = state["seconds"] if state else 0.0
    start, began = len(found), time.monotonic()
    saved = began
    products = ChannelProducts(inr, None)
    workspace.seconds["targets"] = before
    with workspace.progress.stage("targets", len(members), start) as report, deferred_interrupt() as interrupted:
        for done, member in enumerate(members[start:], start + 1):
            factors = row_factors(inr, products(member), target(member))
            found.append(factors.cpu())
            report(done, float(factors.nan_to_num().square().mean().sqrt()))
            workspace.seconds["targets"] = before + time.monotonic() - began
            stop = workspace.compute.processes.any(interrupted())[0]
            if done == len(members) or stop or time.monotonic() - saved > SECONDS_BETWEEN_CHECKPOINTS:
                if workspace.compute.processes.is_first:
                    measured_so_far = {"factors": torch.stack(found), "seconds": workspace.seconds["targets"]}
                    save_checkpoint(path, {"fingerprint": workspace.fingerprint} | measured_so_far)
                saved = time.monotonic()
            if stop:
                raise KeyboardInterrupt
        # A signal may have come while the last state was written, to one process alone.
        if workspace.compute.processes.any(interrupted())[0]:
            raise KeyboardInterrupt
    return torch.stack(found)


def row_factors(inr: AnchoredINR, made: Mapping[str, Tensor], target: Target) -> Tensor:
    """Logarithms of what every row of ``made``, blocks at the target's widths, has to be multiplied with to fit it best: ``[rows]``."""
    rows = []
    for index, block in enumerate(inr.layout):
        if block.name not in inr.scaled_rows:
            continue
        have, wanted = made[block.name], split(block.parameter, target.weights[block.parameter.name], target.configuration)[block.name]
        norm, common = have.square().sum((1, 2)), (have * wanted).sum((1, 2))
        # No scale fits a row of zeros or one that is turned around, and what was not measured cannot keep its mean.
        told = (common > 0) & inr.get_buffer(f"blocks.{index}.moments").any()
        logs = torch.where(told, (common / norm).log().clamp(-_LIMIT, _LIMIT), torch.nan)
        rows.append(functional.pad(logs, (0, inr.scaled_rows[block.name] - len(logs)), value=torch.nan))
    return torch.cat(rows)
