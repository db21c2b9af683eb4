"""Quality of members: accuracy at one configuration, and the curve over compressions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from neumeta_core.architecture import Architecture
from neumeta_core.configuration import Configuration, from_widths, uniform
from neumeta_core.cost import cost_of
from neumeta_core.curve import Curve, CurvePoint
from neumeta_core.errors import InvalidField
from neumeta_core.inr import INR, Sampling
from neumeta_core.materialize import materialize
from torch import Tensor, nn
from torch.func import functional_call

from neumeta_trainer.data import ImageSet, Splits
from neumeta_trainer.results.record import Measurement
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
    configurations = [uniform(sampler.architecture, compression) for compression in compressions]
    measured = measure_members(inr, network, sampler, configurations, data, splits, sampling)
    points = tuple(
        CurvePoint(
            compression=compression,
            widths=dict(configuration),
            params=measurement.params,
            macs=measurement.macs,
            quality=measurement.quality,
            held_out=measurement.widths == "held_out",
        )
        for compression, configuration, measurement in zip(compressions, configurations, measured, strict=True)
    )
    return Curve(metric="accuracy", split=split, samples=len(data), points=points)


def measure_members(
    inr: INR,
    network: nn.Module,
    sampler: Sampler,
    configurations: Sequence[Configuration],
    data: ImageSet,
    splits: Splits,
    sampling: Sampling,
) -> tuple[Measurement, ...]:
    """Accuracy and cost of the manifold's members at these configurations; ``network`` is the fused full network."""
    measured = []
    for configuration in configurations:
        cost = cost_of(sampler.architecture, configuration)
        weights = materialize(inr, configuration, sampling)
        quality = member_accuracy(network, sampler.architecture, configuration, weights, data, splits)
        widths = "held_out" if sampler.is_unseen(configuration) else "trained"
        measured.append(Measurement.model_validate({"params": cost.params, "macs": cost.macs, "quality": quality, "widths": widths}))
    return tuple(measured)


def measure_beyond(
    inr: INR, network: nn.Module, sampler: Sampler, ratios: Sequence[float], data: ImageSet, splits: Splits, sampling: Sampling
) -> tuple[Measurement, ...]:
    """Accuracy where training never went, at these ratios of the full widths; without those that the INR's kind refuses."""
    measured = []
    for ratio in ratios:
        widths = {group.name: group.granularity * max(1, round(group.full * ratio / group.granularity)) for group in sampler.architecture.groups}
        configuration = from_widths(sampler.architecture, widths, extrapolate=True)
        try:
            (found,) = measure_members(inr, network, sampler, [configuration], data, splits, sampling)
        except InvalidField:
            continue
        measured.append(found.model_copy(update={"compression": 1 - ratio, "widths": "extrapolated"}))
    return tuple(measured)
