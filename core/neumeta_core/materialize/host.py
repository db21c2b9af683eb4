"""Weights from the device to the host: one copy a member, into pinned memory, while the device goes on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod

import torch
from torch import Tensor


def to_host(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a member in the memory of the host; not copied when they are there."""
    return all_to_host([weights])[0]


def all_to_host(members: Iterable[Mapping[str, Tensor]]) -> list[dict[str, Tensor]]:
    """The weights of several members, all on one device, in the memory of the host.

    Made while they are asked for, ``all_to_host(manifold.materialize(member) for member in members)``, they follow each other on the
    device without a pause: the host waits once, for the last one. All of them take memory at once, pinned for as long as they live.
    """
    started = [_start(weights) for weights in members]
    for device in {device for _, device in started if device.type == "cuda"}:
        torch.cuda.current_stream(device).synchronize()
    return [weights for weights, _ in started]


def _start(weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], torch.device]:
    """Weights whose values are there when the device is done, and the device."""
    device = next(iter(weights.values())).device
    if device.type == "cpu":
        return dict(weights), device
    flat = torch.cat([values.flatten() for values in weights.values()])
    pinned = torch.empty(flat.shape, dtype=flat.dtype, pin_memory=True).copy_(flat, non_blocking=True)
    shapes = {name: values.shape for name, values in weights.items()}
    parts = torch.split(pinned, [prod(shape) for shape in shapes.values()])
    return {name: part.view(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}, device
