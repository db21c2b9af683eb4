"""The networks and INR kinds that are measured: every layer generated, at full width, not trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from imagenet_resnet import imagenet_resnet18, imagenet_resnet50
from neumeta_core.architecture import Architecture
from neumeta_core.header import Header, InputSpec
from neumeta_core.inr import AnchoredSettings, FactorisedSettings, InrSettings, MlpSettings, build_inr
from neumeta_core.manifold import Manifold
from neumeta_trainer.export.manifold import FILE_NAME
from neumeta_trainer.export.template import make_template
from neumeta_trainer.networks.lenet import LeNet
from neumeta_trainer.networks.resnet_cifar import resnet20, resnet56
from neumeta_trainer.structure.channel_groups import find_architecture
from neumeta_trainer.structure.fusion import fuse_batch_norm
from torch import Tensor, nn

NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, int, int]]] = {
    "lenet": (LeNet, (1, 28, 28)),
    "resnet20": (resnet20, (3, 32, 32)),
    "resnet56": (resnet56, (3, 32, 32)),
    "resnet18": (imagenet_resnet18, (3, 224, 224)),
    "resnet50": (imagenet_resnet50, (3, 224, 224)),
}
"""How a network is made, and the shape of one input."""
KINDS: dict[str, InrSettings] = {
    "mlp": MlpSettings(layers=5, hidden=256),
    "factorised": FactorisedSettings(hidden=64, rank=64),
    "anchored": AnchoredSettings(hidden=32, rank=4),
}


@dataclass(frozen=True)
class Family:
    """A network without normalization and what was found to resize in it."""

    name: str
    network: nn.Module
    example: Tensor
    architecture: Architecture


def find_family(name: str) -> Family:
    """Make one of ``NETWORKS`` and analyse it as the trainer does."""
    make, shape = NETWORKS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network, example = make().eval(), torch.randn(2, *shape)
    fused = fuse_batch_norm(network, example).requires_grad_(False)
    return Family(name, fused, example, find_architecture(fused, example).architecture)


def manifold_of(architecture: Architecture, settings: InrSettings, device: str = "cpu") -> Manifold:
    """A manifold with an untrained INR and no template: it can be materialized, and no more."""
    header = Header(
        name="untrained", version=1, task="classification", input=InputSpec(shape=(1,), layout="NF"), architecture=architecture, inr=settings
    )
    return Manifold(header, build_inr(architecture, settings), b"").to(device)


def write_manifolds(family: Family, kinds: Iterable[str], models: Path) -> list[str]:
    """Write whole manifold files with untrained INRs into a models folder of the service; gives the models' names."""
    template, patches = make_template(family.network, family.architecture, family.example)
    architecture = family.architecture.model_copy(update={"patches": patches})
    shape = InputSpec(shape=tuple(family.example.shape[1:]))
    names = {kind: f"{family.name}-{kind}" for kind in kinds}
    for kind, name in names.items():
        header = Header(name=name, version=1, task="classification", input=shape, architecture=architecture, inr=KINDS[kind])
        Manifold(header, build_inr(architecture, KINDS[kind]), template).save(models / name / "1" / FILE_NAME)
    return list(names.values())
