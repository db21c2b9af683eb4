"""What test_processes.py trains, alone and under torchrun: ``python together.py OUT`` writes what the first process ends with."""

from __future__ import annotations

import dataclasses
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from neumeta_core.inr import build_inr
from neumeta_trainer.compute import Compute
from neumeta_trainer.config import NetworkStage, Optimization, TuneStage
from neumeta_trainer.data import Batches, load_digits
from neumeta_trainer.networks.small import SmallNet
from neumeta_trainer.recipes.digits import digits
from neumeta_trainer.structure.channel_groups import find_architecture
from neumeta_trainer.structure.fusion import fuse_batch_norm
from neumeta_trainer.structure.resize import sliced
from neumeta_trainer.training.family import train_family, train_network
from neumeta_trainer.training.loop import Workspace
from neumeta_trainer.training.manifold_training import Target, tune
from neumeta_trainer.training.progress import LogProgress, Report
from neumeta_trainer.training.sampler import Sampler
from neumeta_trainer.training.slices import Slices
from torch import Tensor, distributed, nn

BATCH = 64
STAGE = NetworkStage(optimization=Optimization(steps=8, rate=0.05, optimizer="sgd", weight_decay=1e-3, clip=1.0), batch=BATCH, members=2)


def small() -> nn.Module:
    torch.manual_seed(0)
    return SmallNet()


def batches(compute: Compute) -> Batches:
    splits = load_digits()
    return Batches(splits.train, splits, BATCH, seed=0, shift=1, flip=True, processes=compute.processes)


def free_of_norms(out: Path, compute: Compute) -> dict[str, Tensor]:
    """A network without BatchNorm, then INRs end to end through the networks that they make: weights of all."""
    example = torch.zeros(2, 1, 8, 8)
    network = fuse_batch_norm(small(), example)
    train_network("free", network, batches(compute), STAGE, Workspace(out / "free", "x", LogProgress(), compute))
    network.requires_grad_(False)
    architecture = find_architecture(network, example).architecture
    weights = {parameter.name: network.get_parameter(parameter.name) for parameter in architecture.parameters}
    found = network.state_dict()
    stage = TuneStage(optimization=Optimization(steps=6, rate=1e-3, ema=0.9), batch=BATCH, distillation=0.7, noise=0.5)
    whole, halves = Sampler(architecture), Sampler(architecture, held_out=((0.26, 0.49), (0.51, 0.99)))
    found |= tuned("not exact", network, weights, whole, stage, Workspace(out / "not exact", "x", LogProgress(), compute), exact=False)
    found |= tuned("exact", network, weights, whole, stage, Workspace(out / "exact", "x", LogProgress(), compute), exact=True)
    # Half of these steps have one member, which is exact.
    alone = dataclasses.replace(stage, sandwich=False, members=1)
    return found | tuned("exact alone", network, weights, halves, alone, Workspace(out / "exact alone", "x", LogProgress(), compute), exact=True)


def tuned(
    title: str, network: nn.Module, weights: dict[str, Tensor], sampler: Sampler, stage: TuneStage, workspace: Workspace, *, exact: bool
) -> dict[str, Tensor]:
    """What an INR makes for some members after training end to end."""
    torch.manual_seed(0)
    architecture = sampler.architecture
    inr = build_inr(architecture, digits().inr.model_copy(update={"levels": (0.5,), "moments": True, "exact": exact, "scales": 4}))
    inr.start_from(weights, *(sliced(architecture, weights, level) for level in inr.levels))
    for name, buffer in inr.named_buffers():
        if name.endswith("moments"):
            buffer.fill_(0.5)
    tune(inr, network, Target(sampler.full, weights), sampler, batches(workspace.compute), stage, workspace)
    members = Sampler(architecture).sandwich(0, 2)
    return {f"{name} at {number}, {title}": values.detach() for number, member in enumerate(members) for name, values in inr(member).items()}


def family(out: Path, compute: Compute) -> dict[str, Tensor]:
    """A family with BatchNorm."""
    network = small()
    sampler = Sampler(find_architecture(network, torch.zeros(2, 1, 8, 8)).architecture)
    train_family(Slices(network, sampler.architecture), sampler, batches(compute), STAGE, Workspace(out / "family", "x", LogProgress(), compute))
    return dict(network.named_parameters())


def statistics(out: Path, compute: Compute) -> list[Tensor]:
    """Process by process, all statistics of a network with BatchNorm in one vector."""
    network = small()
    train_network("alone", network, batches(compute), STAGE, Workspace(out / "alone", "x", LogProgress(), compute))
    mine = torch.cat([buffer.double().flatten() for buffer in network.buffers()])
    found = [torch.zeros_like(mine) for _ in range(compute.processes.count)]
    distributed.all_gather(found, mine)
    return found


def all_stop(out: Path, compute: Compute) -> bool:
    """Whether every process stops when the first one alone is told to, while it writes the end of a stage."""

    class Ending(LogProgress):
        @contextmanager
        def stage(self, name: str, steps: int, start: int) -> Iterator[Report]:  # noqa: ARG002  (every progress is given them)
            yield lambda step, _: signal.raise_signal(signal.SIGINT) if step == steps and compute.processes.is_first else None

    stopped = False
    try:
        train_network("ending", small(), batches(compute), STAGE, Workspace(out / "ending", "x", Ending(), compute))
    except KeyboardInterrupt:
        stopped = True
    return not compute.processes.any(not stopped)[0]


def main(out: Path) -> None:
    torch.set_num_threads(1)
    with Compute.resolve("cpu") as compute:
        compute = dataclasses.replace(compute, mixed=False)
        results = {"free": free_of_norms(out, compute), "family": family(out, compute)}
        results |= {"statistics": statistics(out, compute), "all stop": all_stop(out, compute)}
        if compute.processes.is_first:
            torch.save(results | {"processes": compute.processes.count}, out / "results.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
