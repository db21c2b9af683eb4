"""Quality of members: accuracy at one configuration, and the curve over compressions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from neumeta_core.architecture import Architecture
from neumeta_core.configuration import Configuration, uniform
from neumeta_core.cost import cost_of
from neumeta_core.curve import Curve, CurvePoint
from neumeta_core.inr import INR, Sampling
from neumeta_core.materialize import materialize
from torch import Tensor, nn
from torch.func import functional_call

from neumeta_trainer.data import ImageSet, Splits
from neumeta_trainer.structure.resize import at_widths
from neumeta_trainer.training.sampler import Sampler

_BATCH = 500


@torch.no_grad()
def accuracy(network: nn.Module, data: ImageSet, splits: Splits, parameters: Mapping[str, Tensor] | None = None) -> float:
    """Share of images that are classified rightly, by the network or with these parameters in place of its own."""
    network.eval()
    right = torch.zeros((), dtype=torch.int64, device=data.labels.device)
    for index in torch.split(torch.arange(len(data)), _BATCH):
        batch = data.take(index)
        logits = functional_call(network, dict(parameters or {}), (splits.prepare(batch.images),))
        right += (logits.argmax(dim=1) == batch.labels).sum()
    return int(right) / len(data)


def member_accuracy(
    network: nn.Module, architecture: Architecture, configuration: Configuration, weights: Mapping[str, Tensor], data: ImageSet, splits: Splits
) -> float:
    """Accuracy of a member; ``network`` is the fused full network, ``weights`` the member's generated parameters."""
    with at_widths(network, architecture, configuration):
        return accuracy(network, data, splits, weights)


def measure_curve(
    inr: INR, network: nn.Module, sampler: Sampler, compressions: Sequence[float], data: ImageSet, splits: Splits, split: str, sampling: Sampling
) -> Curve:
    """Accuracy of the uniform members at these compressions."""
    architecture, points = sampler.architecture, []
    for compression in compressions:
        configuration = uniform(architecture, compression)
        weights = materialize(inr, configuration, sampling)
        cost = cost_of(architecture, configuration, 0)
        points.append(
            CurvePoint(
                compression=compression,
                widths=dict(configuration),
                params=cost.params,
                macs=cost.macs,
                quality=member_accuracy(network, architecture, configuration, weights, data, splits),
                held_out=sampler.is_unseen(configuration),
            )
        )
    return Curve(metric="accuracy", split=split, samples=len(data), points=tuple(points))
