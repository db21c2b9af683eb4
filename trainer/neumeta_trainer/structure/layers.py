"""What the trainer knows about layers: which dimension of which tensor belongs to their channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

VECTORS = ("weight", "bias", "running_mean", "running_var")


class Affine(nn.Module):
    """A scale and a shift per channel (dimension 1): what is left of a BatchNorm when its statistics are folded in."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)

    # The argument is called as that of a BatchNorm is: a network may give it by name.
    def forward(self, input: Tensor) -> Tensor:
        """``[n, channels, ...]`` -> the same shape."""
        shape = (-1, *[1] * (input.dim() - 2))
        return input * self.weight.view(shape) + self.bias.view(shape)


@dataclass(frozen=True)
class ChannelTensor:
    """A tensor of a layer, and the dimensions that hold its output and input channels."""

    name: str
    """Within the layer: ``weight``, ``running_mean`` …"""
    out_dim: int = 0
    in_dim: int | None = None


@dataclass(frozen=True)
class ChannelLayer:
    """The tensors of a layer that follow its channels."""

    tensors: tuple[ChannelTensor, ...]
    channelwise: bool
    """Every output channel is made of the input channel of the same number: both follow ``out_dim``."""

    def following(self, *, outputs: bool) -> list[tuple[str, int]]:
        """(tensor, dimension) pairs that follow the layer's output channels, or its input channels."""
        if outputs or self.channelwise:
            return [(tensor.name, tensor.out_dim) for tensor in self.tensors]
        return [(tensor.name, tensor.in_dim) for tensor in self.tensors if tensor.in_dim is not None]


def channel_layer(module: nn.Module) -> ChannelLayer | None:
    """What is known about a layer, or None when the trainer does not understand how it uses its channels."""
    if isinstance(module, _ConvNd | nn.Linear) and "weight" not in module._parameters:
        return None  # reparametrized: the weight is computed from other parameters
    if isinstance(module, _ConvNd):
        return _convolution(module)
    if isinstance(module, nn.Linear):
        return ChannelLayer(_present(module, ChannelTensor("weight", 0, 1), ChannelTensor("bias")), channelwise=False)
    if isinstance(module, nn.PReLU) and module.num_parameters == 1:
        return ChannelLayer((), channelwise=True)
    if isinstance(module, Affine | _BatchNorm | nn.PReLU) or (isinstance(module, nn.LayerNorm) and len(module.normalized_shape) == 1):
        return ChannelLayer(_present(module, *map(ChannelTensor, VECTORS)), channelwise=True)
    return None


def _convolution(module: _ConvNd) -> ChannelLayer | None:
    depthwise = module.groups > 1 and module.groups == module.in_channels == module.out_channels
    if module.groups > 1 and not depthwise:
        return None
    weight = ChannelTensor("weight", 1, 0) if module.transposed and not depthwise else ChannelTensor("weight", 0, 1)
    return ChannelLayer(_present(module, weight, ChannelTensor("bias")), channelwise=depthwise)


def _present(module: nn.Module, *tensors: ChannelTensor) -> tuple[ChannelTensor, ...]:
    return tuple(tensor for tensor in tensors if getattr(module, tensor.name, None) is not None)


def sizes(module: nn.Module, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, object]:
    """Attributes of a layer that follow from the shapes of its tensors (``out_channels``, ``groups`` …)."""
    if isinstance(module, _ConvNd):
        shape = shapes["weight"]
        if module.groups > 1:
            return {"in_channels": shape[0], "out_channels": shape[0], "groups": shape[0]}
        out, in_ = (shape[1], shape[0]) if module.transposed else (shape[0], shape[1])
        return {"in_channels": in_, "out_channels": out}
    if isinstance(module, nn.Linear):
        return {"in_features": shapes["weight"][1], "out_features": shapes["weight"][0]}
    (width,) = next(iter(shapes.values()))
    if isinstance(module, _BatchNorm):
        return {"num_features": width}
    if isinstance(module, nn.LayerNorm):
        return {"normalized_shape": (width,)}
    if isinstance(module, nn.PReLU):
        return {"num_parameters": width}
    return {}


def tied_parameters(network: nn.Module) -> dict[str, list[str]]:
    """Parameters that are one object under several names: first name -> all names."""
    names: dict[int, list[str]] = {}
    for name, parameter in network.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return {found[0]: found for found in names.values() if len(found) > 1}


def perturbed(tensors: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Tensors near the given ones without equal or zero values, so that no mistake hides behind an initial value."""
    changed = {}
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            changed[name] = tensor
            continue
        factor = torch.rand(tensor.shape, generator=generator, dtype=torch.float64) + 0.5
        constant = tensor.numel() == 0 or bool((tensor == tensor.flatten()[0]).all())
        shift = torch.randn(tensor.shape, generator=generator, dtype=torch.float64) * (0.05 if constant else 0.0)
        values = tensor.cpu().double() * factor + shift
        changed[name] = (values.abs() if name.endswith("running_var") else values).to(tensor)
    return changed
