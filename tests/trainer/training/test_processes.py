"""Training in two processes that torchrun starts, over real gloo sockets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from neumeta_trainer.compute import Compute
from neumeta_trainer.errors import RecipeRefused
from neumeta_trainer.processes import Processes
from neumeta_trainer.structure.channel_groups import find_architecture
from neumeta_trainer.training.loop import Workspace, optimize
from neumeta_trainer.training.losses import distillation
from neumeta_trainer.training.progress import LogProgress
from neumeta_trainer.training.sampler import Sampler
from neumeta_trainer.training.slices import Slices
from torch import Tensor
from torch.nn import functional

from tests.trainer.training import together

PATIENCE = 240


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("two")
    start = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "0", "--rdzv-backend", "c10d"]
    command = [*start, "--rdzv-endpoint", "localhost:0", str(Path(together.__file__)), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    return torch.load(out / "results.pt", weights_only=True)


def test_without_batch_norm_two_processes_are_one_with_the_whole_batch(two, tmp_path):
    assert two["processes"] == 2
    alone = together.free_of_norms(tmp_path, Compute())
    assert set(two["free"]) == set(alone)
    for name, values in alone.items():
        assert (two["free"][name] - values).abs().max() <= 1e-5, name


def test_with_batch_norm_every_process_normalizes_its_own_share(two, tmp_path):
    network = together.small()
    sampler = Sampler(find_architecture(network, torch.zeros(2, 1, 8, 8)).architecture)
    batches, stage, slices = together.batches(Compute()), together.STAGE, Slices(network, sampler.architecture)

    def halves(step: int) -> Tensor:
        inputs, labels = batches.at(step)
        total = torch.zeros(())
        for part in (slice(0, 32), slice(32, 64)):
            full, *others = (slices(member, inputs[part]) for member in sampler.sandwich(step, stage.members))
            total = total + functional.cross_entropy(full, labels[part]) + sum(distillation(other, full) for other in others)
        return total / 2

    network.train()
    optimize("halves", network, halves, stage.optimization, Workspace(tmp_path, "x", LogProgress()))
    for name, values in network.named_parameters():
        assert (two["family"][name] - values).abs().max() <= 1e-5, name

    whole = together.family(tmp_path, Compute())
    assert max(float((whole[name] - values).abs().max().detach()) for name, values in network.named_parameters()) > 1e-4


def test_afterwards_every_process_has_the_statistics_of_the_first(two):
    first, other = two["statistics"]
    assert torch.equal(first, other)


def test_an_interrupt_that_only_one_process_notices_stops_all(two):
    assert two["all stop"]


def test_a_batch_that_cannot_be_divided_is_refused():
    with pytest.raises(RecipeRefused, match="64 images cannot be divided among 3 processes"):
        Processes(0, 3).share(64)
