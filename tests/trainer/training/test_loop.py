from __future__ import annotations

import dataclasses
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from neumeta_trainer.config import Optimization
from neumeta_trainer.errors import CheckpointRefused, TrainingCollapsed
from neumeta_trainer.randomness import generator_for
from neumeta_trainer.training.checkpoint import save_checkpoint
from neumeta_trainer.training.loop import Workspace, optimize, rate_at
from neumeta_trainer.training.progress import LogProgress, Report
from torch import Tensor, nn

OPTIMIZATIONS = [
    Optimization(steps=12, rate=0.1, optimizer="sgd", weight_decay=1e-3, ema=0.9),
    Optimization(steps=12, rate=0.01, optimizer="adamw", clip=0.5),
]


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Dropout(0.3), nn.Linear(4, 1))


def loss_of(module: nn.Module, interrupt_at: int | None = None):
    def loss(step: int) -> Tensor:
        if step == interrupt_at:
            signal.raise_signal(signal.SIGINT)
        inputs = torch.randn(16, 3, generator=generator_for("test", step))
        return (module(inputs) - inputs.sum(1, keepdim=True)).square().mean()

    return loss


def workspace(folder: Path, fingerprint: str = "one") -> Workspace:
    return Workspace(folder, fingerprint, LogProgress())


@pytest.mark.parametrize("optimization", OPTIMIZATIONS, ids=["sgd", "adamw"])
def test_an_interrupted_run_ends_with_the_same_bits(tmp_path, optimization):
    whole = network()
    optimize("stage", whole, loss_of(whole), optimization, workspace(tmp_path / "whole"))

    cut = network()
    with pytest.raises(KeyboardInterrupt):
        optimize("stage", cut, loss_of(cut, interrupt_at=5), optimization, workspace(tmp_path / "cut"))
    resumed = network()
    optimize("stage", resumed, loss_of(resumed), optimization, workspace(tmp_path / "cut"))
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True))


def test_an_interrupt_waits_for_the_end_of_the_step(tmp_path):
    module = network()
    with pytest.raises(KeyboardInterrupt):
        optimize("stage", module, loss_of(module, interrupt_at=5), OPTIMIZATIONS[0], workspace(tmp_path))
    assert torch.load(tmp_path / "stage.pt", weights_only=True)["step"] == 6
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


class Ending(LogProgress):
    """Ctrl-C when the last step is reported, after it was last asked about."""

    @contextmanager
    def stage(self, name: str, steps: int, start: int) -> Iterator[Report]:  # noqa: ARG002  (every progress is given them)
        def report(step: int, _loss: float) -> None:
            if step == steps:
                signal.raise_signal(signal.SIGINT)

        yield report


def test_an_interrupt_at_the_end_of_a_stage_stops_the_run_and_the_stage_is_kept(tmp_path):
    module = network()
    with pytest.raises(KeyboardInterrupt):
        optimize("stage", module, loss_of(module), OPTIMIZATIONS[0], dataclasses.replace(workspace(tmp_path), progress=Ending()))
    assert torch.load(tmp_path / "stage.pt", weights_only=True)["step"] == 12


def test_an_interrupt_while_the_last_state_is_written_stops_the_run(tmp_path, monkeypatch):
    def save(path: Path, state: dict[str, Any]) -> None:
        save_checkpoint(path, state)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("neumeta_trainer.training.loop.save_checkpoint", save)
    module = network()
    with pytest.raises(KeyboardInterrupt):
        optimize("stage", module, loss_of(module), OPTIMIZATIONS[0], workspace(tmp_path))
    assert torch.load(tmp_path / "stage.pt", weights_only=True)["step"] == 12


def test_a_finished_stage_is_not_trained_again(tmp_path):
    first = network()
    optimize("stage", first, loss_of(first), OPTIMIZATIONS[0], workspace(tmp_path))

    def never(step: int) -> Tensor:
        raise AssertionError(step)

    second = network()
    optimize("stage", second, never, OPTIMIZATIONS[0], workspace(tmp_path))
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True))


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    module = network()
    optimize("stage", module, loss_of(module), OPTIMIZATIONS[0], workspace(tmp_path, "one"))
    with pytest.raises(CheckpointRefused, match=r"other settings or data than the one that wrote .*stage\.pt\. Choose another folder"):
        optimize("stage", module, loss_of(module), OPTIMIZATIONS[0], workspace(tmp_path, "two"))


def test_a_damaged_checkpoint_is_refused(tmp_path):
    module = network()
    optimize("stage", module, loss_of(module), OPTIMIZATIONS[0], workspace(tmp_path))
    path = tmp_path / "stage.pt"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(CheckpointRefused, match="is damaged"):
        optimize("stage", module, loss_of(module), OPTIMIZATIONS[0], workspace(tmp_path))


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    module = network()
    with pytest.raises(TrainingCollapsed, match="the loss is not finite at step 0"):
        optimize("stage", module, lambda _: module(torch.full((2, 3), torch.nan)).sum(), OPTIMIZATIONS[0], workspace(tmp_path))


def test_the_rate_rises_and_then_falls_to_zero():
    optimization = Optimization(steps=100, rate=1.0, warmup=0.1)
    rates = [rate_at(step, optimization) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0, abs=0.03)
    assert rates[:9] == sorted(rates[:9])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 1e-3


def test_the_ema_is_what_stays(tmp_path):
    module, slow = network(), network()
    optimize("fast", module, loss_of(module), Optimization(steps=5, rate=0.1, optimizer="sgd"), workspace(tmp_path))
    optimize("slow", slow, loss_of(slow), Optimization(steps=5, rate=0.1, optimizer="sgd", ema=1.0), workspace(tmp_path))
    start = network()
    assert torch.equal(slow[0].weight, start[0].weight)
    assert not torch.equal(module[0].weight, start[0].weight)
