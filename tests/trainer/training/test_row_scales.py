"""The warm start of row scales, against members whose rows are known to be scaled."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from neumeta_core.architecture import Architecture
from neumeta_core.blocks import join, split
from neumeta_core.configuration import Configuration
from neumeta_core.inr import AnchoredINR, AnchoredSettings
from neumeta_trainer.config import FitStage, Optimization
from neumeta_trainer.errors import CheckpointRefused
from neumeta_trainer.training.checkpoint import save_checkpoint
from neumeta_trainer.training.loop import Workspace
from neumeta_trainer.training.manifold_training import Target
from neumeta_trainer.training.progress import LogProgress
from neumeta_trainer.training.row_scales import fit_scales, row_factors
from neumeta_trainer.training.sampler import Sampler
from torch import Tensor

from tests.concatenated import concatenated_architecture
from tests.tiny import tiny_architecture

ARCHITECTURE = tiny_architecture()
STAGE = FitStage(optimization=Optimization(steps=500, rate=2e-2))
ROWS = {"conv1.weight": 8, "conv2.weight": 12}


def started(*, measured: tuple[str, ...] = ("conv1.weight", "conv2.weight")) -> AnchoredINR:
    torch.manual_seed(0)
    inr = AnchoredINR(ARCHITECTURE, AnchoredSettings(hidden=8, rank=2, levels=(0.5,), moments=True, exact=True, scales=16))
    members = [{p.name: torch.randn(p.shape(widths)) for p in ARCHITECTURE.parameters} for widths in (ARCHITECTURE.full_widths, *inr.levels)]
    inr.start_from(*members)
    inr.take_moments(*({name: 0.5 + torch.rand(3, weights[name].shape[1]) for name in measured} for weights in members))
    return inr


def started_with(architecture: Architecture) -> AnchoredINR:
    torch.manual_seed(0)
    inr = AnchoredINR(architecture, AnchoredSettings(hidden=8, rank=2, moments=True, scales=4)).requires_grad_(False)
    weights = {p.name: torch.randn(p.shape(architecture.full_widths)) for p in architecture.parameters}
    inr.start_from(weights)
    inr.take_moments({"mix.weight": 0.5 + torch.rand(3, 22), "next.weight": 0.5 + torch.rand(3, 8)})
    return inr


def factors(inr: AnchoredINR, member: Configuration, name: str) -> Tensor:
    """Of the rows of a layer: each another function of the sizes, and one at exact members."""
    row = torch.arange(member[name.partition(".")[0]])
    logs = 0.8 * torch.cos(row + 1) * (1 - member["conv1"] / 8) + 0.5 * torch.sin(row + 1) * (1 - member["conv2"] / 12)
    return (logs * inr.gates(member)[-1]).exp()


def scaled(inr: AnchoredINR, member: Configuration) -> Target:
    """What the INR would make with these factors."""
    with torch.no_grad():
        made = inr(member)
    rows = {name: values * factors(inr, member, name).view(-1, 1, 1, 1) if name in ROWS else values for name, values in made.items()}
    return Target(member, rows)


def drawn(inr: AnchoredINR, count: int = 60) -> list[Configuration]:
    return [member for member in Sampler(ARCHITECTURE).draw(0, count) if member not in inr.exact]


def workspace(folder: Path) -> Workspace:
    return Workspace(folder, "x", LogProgress())


@torch.no_grad()
def errors(made: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[float]:
    return [float((made[name] - wanted[name]).norm() / wanted[name].norm()) for name in ROWS]


def test_it_learns_the_factors_of_members_that_it_has_not_seen(tmp_path):
    inr, teacher = started(), started()
    members = drawn(inr)
    fit_scales(inr, members[10:], lambda member: scaled(teacher, member), STAGE, workspace(tmp_path))
    for member in set(members[:10]) - set(members[10:]):
        wanted = scaled(teacher, member).weights
        assert max(errors(inr(member), wanted)) < 0.25 * max(errors(teacher(member), wanted))


def test_near_to_an_exact_member_a_factor_is_what_the_open_part_of_a_scale_makes(tmp_path):
    """The full network is one: next to it a scale counts by a third, so the network has to say three times the logarithm."""
    inr = started()
    near = Configuration((("conv1", 8), ("conv2", 11)))
    stage = FitStage(optimization=Optimization(steps=400, rate=5e-3))

    def target(member: Configuration) -> Target:
        weights = {name: 1.1 * values if name in ROWS else values for name, values in started()(member).items()}
        return Target(member, {name: values.detach() for name, values in weights.items()})

    fit_scales(inr, [near], target, stage, workspace(tmp_path))
    assert max(errors(inr(near), target(near).weights)) < 1e-3


def test_rows_that_no_scale_fits_are_left_alone(tmp_path):
    inr, members = started(), drawn(started(), 4)

    def target(member: Configuration) -> Target:
        weights = dict(scaled(inr, member).weights)
        weights["conv1.weight"] = torch.cat([-weights["conv1.weight"][:4], 0 * weights["conv1.weight"][4:]])
        return Target(member, weights)

    fit_scales(inr, members, target, STAGE, workspace(tmp_path))
    assert not inr.row_scales.out.bias[:8].any()
    assert inr.row_scales.out.bias[8:].any()


def test_rows_of_every_block_and_segment_have_their_own_factor():
    """Of a convolution over two concatenated streams and a Linear over several values a channel."""
    inr = started_with(concatenated_architecture())
    member = Configuration((("a", 5), ("b", 7)))
    with torch.no_grad():
        made = inr(member)
    blocks = list(inr.scaled_rows)
    assert len(blocks) == 4
    factors, weights = {}, {}
    for parameter in inr.architecture.parameters:
        parts = split(parameter, made[parameter.name], member)
        for name in set(parts) & set(blocks):
            factors[name] = 1 + 0.1 * blocks.index(name) + 0.01 * torch.arange(len(parts[name]))
            parts[name] = parts[name] * factors[name].view(-1, 1, 1)
        weights[parameter.name] = join(parameter, parts)
    found = row_factors(inr, inr.make_blocks(member, None), Target(member, weights)).split(list(inr.scaled_rows.values()))
    for name, logs in zip(blocks, found, strict=True):
        rows = len(factors[name])
        assert torch.allclose(logs[:rows].exp(), factors[name], rtol=1e-4), name
        assert logs[rows:].isnan().all(), name


def test_a_network_without_biases_has_no_rows_to_scale(tmp_path):
    whole = ARCHITECTURE
    bare = whole.model_copy(update={"parameters": tuple(p for p in whole.parameters if not p.name.endswith("bias"))})
    inr = AnchoredINR(bare, AnchoredSettings(hidden=8, rank=2, moments=True, scales=16))
    assert inr.row_scales is None
    fit_scales(inr, drawn(started()), lambda member: scaled(inr, member), STAGE, workspace(tmp_path))
    assert not list(tmp_path.iterdir())


def test_where_nothing_was_measured_nothing_is_trained(tmp_path):
    inr = started(measured=())
    fit_scales(inr, drawn(inr), lambda member: scaled(inr, member), STAGE, workspace(tmp_path))
    assert not inr.row_scales.out.bias.any()


def test_nothing_else_is_trained(tmp_path):
    inr, before = started(), started().state_dict()
    fit_scales(inr, drawn(inr), lambda member: scaled(inr, member), STAGE, workspace(tmp_path))
    changed = {name for name, values in inr.state_dict().items() if not torch.equal(values, before[name])}
    assert changed
    assert all(name.startswith("row_scales.") for name in changed)


def test_rows_with_inputs_that_were_not_measured_are_left_alone(tmp_path):
    inr = started(measured=("conv2.weight",))
    fit_scales(inr, drawn(inr), lambda member: scaled(inr, member), STAGE, workspace(tmp_path))
    assert not inr.row_scales.out.bias[:8].any()
    assert inr.row_scales.out.bias[8:].all()


def test_without_members_nothing_happens(tmp_path):
    inr = started()
    fit_scales(inr, [], lambda member: scaled(inr, member), STAGE, workspace(tmp_path))
    assert not inr.row_scales.out.bias.any()
    assert not list(tmp_path.iterdir())


def test_a_run_that_is_interrupted_measures_no_member_twice(tmp_path):
    inr, seen = started(), []
    members = drawn(inr, 12)

    def target(member: Configuration) -> Target:
        seen.append(member)
        if len(seen) == len(members) - 1:
            signal.raise_signal(signal.SIGINT)
        return scaled(inr, member)

    with pytest.raises(KeyboardInterrupt):
        fit_scales(inr, members, target, STAGE, interrupted := workspace(tmp_path))
    assert len(seen) == len(members) - 1
    fit_scales(inr, members, target, STAGE, resumed := workspace(tmp_path))
    assert seen == members
    assert resumed.seconds["targets"] > interrupted.seconds["targets"] > 0
    whole = started()
    fit_scales(whole, members, lambda member: scaled(whole, member), STAGE, workspace(tmp_path / "whole"))
    assert all(torch.equal(values, whole.state_dict()[name]) for name, values in inr.state_dict().items())


def test_an_interrupt_while_the_last_targets_are_written_stops_the_run_before_it_trains(tmp_path, monkeypatch):
    def save(path: Path, state: dict[str, Any]) -> None:
        save_checkpoint(path, state)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("neumeta_trainer.training.row_scales.save_checkpoint", save)
    inr = started()
    with pytest.raises(KeyboardInterrupt):
        fit_scales(inr, drawn(inr, 4), lambda member: scaled(inr, member), STAGE, workspace(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["targets.pt"]


def test_what_another_run_measured_is_refused(tmp_path):
    inr = started()
    fit_scales(inr, drawn(inr), lambda member: scaled(inr, member), STAGE, workspace(tmp_path))
    with pytest.raises(CheckpointRefused, match=r"other settings or data than the one that wrote .*targets\.pt\."):
        fit_scales(inr, drawn(inr), lambda member: scaled(inr, member), STAGE, dataclasses.replace(workspace(tmp_path), fingerprint="y"))
