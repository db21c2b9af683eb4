"""What happens in one forward pass: which layers run, in which order, and at how many positions."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import torch
from neumeta_core.errors import NetworkUnsupported
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd


@dataclass
class Trace:
    """One forward pass in eval mode."""

    layers: list[str] = field(default_factory=list)
    """Paths of all modules with parameters of their own, and of convolutions and Linear layers, in the order of their first call."""
    reused: list[str] = field(default_factory=list)
    """Those of them that were called more than once."""
    positions: dict[str, float] = field(default_factory=dict)
    """Per convolution or Linear: how often each element of its weight is used for one input sample."""


@torch.no_grad()
def trace(network: nn.Module, example: Tensor) -> Trace:
    """Run the network once on an example batch. Raises NetworkUnsupported unless it runs and its output is one tensor ``[n, outputs, ...]``."""
    result, twin = Trace(), copy.deepcopy(network).eval()
    for path, module in twin.named_modules():
        # A weight that is computed from other parameters is none of the layer's own.
        if isinstance(module, _ConvNd | nn.Linear) or next(module.parameters(recurse=False), None) is not None:
            module.register_forward_hook(_recorder(result, path, len(example)), with_kwargs=True)
    try:
        output = twin(example)
    except Exception as error:
        batch = f"a batch {list(example.shape)} of {example.dtype}"
        raise NetworkUnsupported(f"{type(network).__name__} does not run in eval mode on {batch}: {first_line(error)}") from error
    if not isinstance(output, Tensor) or output.dim() < 2 or len(output) != len(example):
        found = f"shape {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
        raise NetworkUnsupported(f"{type(network).__name__} gives {found} for a batch of {len(example)}; expected one tensor [n, outputs, ...].")
    return result


def first_line(error: Exception) -> str:
    """What an error of a network says, without its stack and advice."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _recorder(result: Trace, path: str, batch: int) -> Any:
    def record(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
        known = result.reused if path in result.layers else result.layers
        if path not in known:
            known.append(path)
        if isinstance(module, _ConvNd | nn.Linear):
            input_ = inputs[0] if inputs else named["input"]
            result.positions[path] = result.positions.get(path, 0) + _positions(module, input_, output) / batch

    return record


def _positions(module: _ConvNd | nn.Linear, input_: Tensor, output: Tensor) -> float:
    if isinstance(module, nn.Linear):
        return output.numel() / module.out_features
    # A transposed convolution multiplies every weight with every input position.
    return input_.numel() / module.in_channels if module.transposed else output.numel() / module.out_channels
