"""Whether the parts of a manifold file fit each other. Every check raises ManifoldRefused with a sentence that says what does not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

import torch
from torch import Tensor

from neumeta_core.architecture import Architecture
from neumeta_core.blocks import count_blocks
from neumeta_core.configuration import from_widths
from neumeta_core.cost import cost_of
from neumeta_core.curve import Curve
from neumeta_core.errors import InvalidField, ManifoldRefused
from neumeta_core.inr import INR, InrSettings, MlpINR, MlpSettings
from neumeta_core.inr.channel import ChannelINR
from neumeta_core.inr.mlp import CoordinateMLP
from neumeta_core.record import MAX_VALUES

_LEAST_TENSORS = 7
"""Of one block: a vector of kind ``factorised`` has no more, and an MLP of one layer has as many."""
_LAYER_TENSORS = 2
"""Of every further layer of an MLP."""


def check_count(architecture: Architecture, settings: InrSettings, count: int) -> None:
    """There are as many tensors as the INR has at least, so that building it costs no more than the file's size allows."""
    more = _LAYER_TENSORS * (settings.layers - 1) if isinstance(settings, MlpSettings) else 0
    least = count_blocks(architecture) * (_LEAST_TENSORS + more)
    if count < least:
        raise ManifoldRefused(f"the header does not fit the tensors: its INR has at least {least}, the file has {count}.")


def check_channels(inr: INR) -> None:
    """What its networks compute for single channels is no larger than a network may be: channels take nothing in the file, and a parameter
    of few values can have many."""
    values = _channel_values(inr)
    if values > MAX_VALUES:
        raise ManifoldRefused(f"the INR computes {values} values for single channels of the full network; at most {MAX_VALUES} are allowed.")


def _channel_values(inr: INR) -> int:
    """Encoded positions, hidden units and outputs of every channel, all blocks together."""
    if isinstance(inr, MlpINR):
        networks = zip(inr.full_shapes, cast("Iterable[CoordinateMLP]", inr.networks), strict=True)
        sides = [side for (out, in_, _), network in networks for side in ((out, network.from_out), (in_, network.from_in))]
        return sum(channels * (layer.in_features + layer.out_features) for channels, layer in sides)
    of_channels = [module for module in inr.modules() if isinstance(module, ChannelINR)]
    return sum(network.channels * (1 + 2 * network.bands + network.hidden.out_features + network.out.out_features) for network in of_channels)


def check_inr(inr: INR, tensors: Mapping[str, Tensor]) -> None:
    """The tensors are the INR's: names, shapes, fp16 or fp32, finite."""
    expected = inr.state_dict()
    missing, surplus = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing or surplus:
        raise ManifoldRefused(f"the header does not fit the tensors: missing {missing[:3]}, not expected {surplus[:3]}.")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise ManifoldRefused(f"inr.{name} has shape {list(tensor.shape)}; the header asks for {list(expected[name].shape)}.")
        if tensor.dtype not in (torch.float16, torch.float32):
            raise ManifoldRefused(f"inr.{name} has type {tensor.dtype}; expected fp16 or fp32.")
        if not torch.isfinite(tensor).all():
            raise ManifoldRefused(f"inr.{name} holds values that are not finite.")


def check_canary(inputs: Tensor | None, labels: Tensor | None, shape: tuple[int, ...]) -> None:
    """Both are there or none; inputs ``[n, *shape]`` in uint8 or finite fp32, labels ``[n, ...]`` in int64."""
    if inputs is None and labels is None:
        return
    if inputs is None or labels is None:
        raise ManifoldRefused("the file has only one of canary.inputs and canary.labels.")
    if tuple(inputs.shape[1:]) != shape or not labels.dim() or len(inputs) != len(labels):
        found = f"{list(inputs.shape)} and {list(labels.shape)}"
        raise ManifoldRefused(f"canary.inputs and canary.labels have shapes {found}; expected inputs of {list(shape)} and one label for each.")
    if inputs.dtype not in (torch.uint8, torch.float32) or labels.dtype != torch.int64:
        raise ManifoldRefused(f"canary.inputs and canary.labels have types {inputs.dtype} and {labels.dtype}; expected uint8 or fp32, and int64.")
    if not torch.isfinite(inputs).all():
        raise ManifoldRefused("canary.inputs holds values that are not finite.")


def check_curve(curve: Curve | None, architecture: Architecture) -> None:
    """Every point is a member of this family, with its parameters and multiply-adds."""
    for index, point in enumerate(() if curve is None else curve.points):
        try:
            cost = cost_of(architecture, from_widths(architecture, point.widths, extrapolate=True))
        except InvalidField as error:
            raise ManifoldRefused(f"point {index} of the curve is no member of this family: {error}") from None
        if (cost.params, cost.macs) != (point.params, point.macs):
            found = f"{point.params} parameters and {point.macs} multiply-adds"
            raise ManifoldRefused(f"point {index} of the curve has {found}; its widths come to {cost.params} and {cost.macs}.")
