"""Steps as CUDA graphs against the same steps on the CPU."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from neumeta_core.inr import INR, AnchoredSettings, FactorisedSettings, InrSettings, build_inr
from neumeta_trainer.compute import Compute
from neumeta_trainer.config import FitStage, NetworkStage, Optimization, TuneStage
from neumeta_trainer.data import Batches, load_digits
from neumeta_trainer.networks.small import SmallNet
from neumeta_trainer.structure.channel_groups import find_architecture
from neumeta_trainer.structure.fusion import fuse_batch_norm
from neumeta_trainer.structure.resize import sliced
from neumeta_trainer.training.family import train_family, train_network
from neumeta_trainer.training.loop import Workspace
from neumeta_trainer.training.manifold_training import Target, fit, tune
from neumeta_trainer.training.objective import CapturedGradients
from neumeta_trainer.training.progress import LogProgress
from neumeta_trainer.training.sampler import Sampler
from neumeta_trainer.training.slices import Slices
from torch import Tensor, nn

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")]

LEVELS = (0.75, 0.5)
EXAMPLE = torch.zeros(2, 1, 8, 8)
SGD = Optimization(steps=12, rate=0.05, optimizer="sgd", weight_decay=1e-3, clip=1.0)
FAMILY = NetworkStage(optimization=SGD, batch=64, members=2)


@pytest.fixture(autouse=True)
def exact_convolutions() -> Iterator[None]:
    before, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, False
    yield
    torch.backends.cudnn.allow_tf32 = before


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A number for every graph that was captured."""
    made: list[int] = []
    original = CapturedGradients.__init__

    def counted(self: CapturedGradients, *arguments: object) -> None:
        original(self, *arguments)
        made.append(len(made))

    monkeypatch.setattr(CapturedGradients, "__init__", counted)
    return made


def on(device: str) -> Compute:
    return Compute(torch.device(device))


def batches(compute: Compute) -> Batches:
    splits = load_digits().to(compute)
    return Batches(splits.train, splits, 64, seed=0, shift=1, flip=True)


def small() -> nn.Module:
    torch.manual_seed(0)
    return SmallNet()


def assert_alike(one: dict[str, Tensor], other: dict[str, Tensor], tolerance: float = 2e-3) -> None:
    assert one.keys() == other.keys()
    for name, values in one.items():
        assert (values.cpu() - other[name].cpu()).float().norm() <= tolerance * other[name].float().norm().cpu() + 1e-5, name


def alone(compute: Compute, out: Path, steps: int = 12) -> dict[str, Tensor]:
    network = compute.place(small())
    stage = dataclasses.replace(FAMILY, optimization=dataclasses.replace(SGD, steps=steps))
    train_network("alone", network, batches(compute), stage, Workspace(out, "x", LogProgress(), compute))
    return network.state_dict()


def family(compute: Compute, out: Path) -> dict[str, Tensor]:
    network = compute.place(small())
    sampler = Sampler(find_architecture(small(), EXAMPLE).architecture, levels=LEVELS)
    slices = Slices(network, sampler.architecture, LEVELS, 0.3)
    train_family(slices, sampler, batches(compute), FAMILY, Workspace(out, "x", LogProgress(), compute))
    return {name: value for name, value in slices.state_dict().items() if "running" not in name and "tracked" not in name}


def manifold(compute: Compute, out: Path, settings: InrSettings, kept: tuple[str, ...] = ()) -> INR:
    fused = compute.place(fuse_batch_norm(small(), EXAMPLE).requires_grad_(False))
    architecture = find_architecture(fuse_batch_norm(small(), EXAMPLE), EXAMPLE, ignore=kept).architecture
    sampler, weights = Sampler(architecture), {name: value for name, value in fused.named_parameters() if name in architecture.by_name}
    torch.manual_seed(0)
    inr = build_inr(architecture, settings).to(compute.device)
    inr.start_from(weights, *(sliced(architecture, weights, level) for level in inr.levels))
    for name, buffer in inr.named_buffers():
        if name.endswith("moments"):
            buffer.fill_(0.5)
    targets = [Target(member, sliced(architecture, weights, member)) for member in sampler.sandwich(0, 3)]
    workspace = Workspace(out, "x", LogProgress(), compute)
    # No AdamW: its first steps are as long where a gradient is rounding noise, whose sign is chance.
    optimization = Optimization(steps=10, rate=1e-2, optimizer="sgd", clip=1.0, ema=0.9)
    fit(inr, targets, FitStage(optimization=optimization, members=3), workspace, 0)
    stage = TuneStage(optimization=optimization, batch=64, members=2, task=0.3, distillation=0.7)
    tune(inr, fused, targets[0], sampler, batches(compute), stage, workspace)
    return inr


def test_a_network_alone(tmp_path: Path, captures: list[int]) -> None:
    assert_alike(alone(on("cuda"), tmp_path / "cuda"), alone(on("cpu"), tmp_path / "cpu"))
    assert len(captures) == 1


def test_a_family(tmp_path: Path, captures: list[int]) -> None:
    assert_alike(family(on("cuda"), tmp_path / "cuda"), family(on("cpu"), tmp_path / "cpu"))
    assert len(captures) == 1


@pytest.mark.parametrize("kept", [(), ("conv1",)], ids=["all morph", "the first layer stays"])
@pytest.mark.parametrize(
    "settings",
    [
        AnchoredSettings(hidden=8, rank=2, levels=LEVELS),
        AnchoredSettings(hidden=8, rank=2, levels=LEVELS, moments=True),
        AnchoredSettings(hidden=8, rank=2, levels=LEVELS, moments=True, exact=True),
        AnchoredSettings(hidden=8, rank=2, levels=LEVELS, moments=True, exact=True, scales=6),
        FactorisedSettings(hidden=16, rank=4),
    ],
)
def test_a_manifold(settings: InrSettings, kept: tuple[str, ...], tmp_path: Path, captures: list[int]) -> None:
    there, here = (manifold(on(device), tmp_path / device, settings, kept) for device in ("cuda", "cpu"))
    assert len(captures) == 2
    with torch.no_grad():
        for member in Sampler(here.architecture).sandwich(0, 2):
            assert_alike(there(member), here(member))


def test_a_graph_is_captured_anew_where_a_stage_goes_on(tmp_path: Path, captures: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = alone(on("cuda"), tmp_path / "whole")

    def interrupting(self: CapturedGradients, step: int) -> Tensor:
        if step == 5:
            raise KeyboardInterrupt
        return replay(self, step)

    replay = CapturedGradients.__call__
    monkeypatch.setattr("neumeta_trainer.training.loop.SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    with monkeypatch.context() as patched:
        patched.setattr(CapturedGradients, "__call__", interrupting)
        with pytest.raises(KeyboardInterrupt):
            alone(on("cuda"), tmp_path / "parts")
    assert_alike(alone(on("cuda"), tmp_path / "parts"), whole)
    assert len(captures) == 3
