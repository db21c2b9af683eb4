"""Networks at other widths: slices of tensors, and layer attributes that follow."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from neumeta_core.architecture import Architecture, Segment, Widths, axis_size
from torch import Tensor, nn
from torch.nn import functional

from neumeta_trainer.structure.layers import sizes


def sliced(architecture: Architecture, tensors: Mapping[str, Tensor], configuration: Widths, held: Widths | None = None) -> dict[str, Tensor]:
    """Tensors cut to a configuration: the first channels of every segment.

    ``held`` are the widths that the tensors have, those of the full network when it is not given; channels that they lack are
    zero. Differentiable; a view wherever one slice is enough (an axis of several segments is joined from its parts). Tensors
    that the architecture does not name are handed through.
    """
    result, held = dict(tensors), held or architecture.full_widths
    for name in tensors.keys() & architecture.by_name.keys():
        for dim, axis in enumerate(architecture.by_name[name].axes):
            result[name] = _cut(result[name], dim, axis, held, configuration)
    return result


def _cut(tensor: Tensor, dim: int, axis: tuple[Segment, ...], held: Widths, widths: Widths) -> Tensor:
    if axis_size(axis, held) == axis_size(axis, widths) and len(axis) == 1:
        return tensor
    start, parts = 0, []
    for segment in axis:
        size, wanted = segment.size(held), segment.size(widths)
        part = tensor.narrow(dim, start, min(size, wanted))
        lacking = (0, 0) * (tensor.dim() - 1 - dim) + (0, wanted - size)
        parts.append(part if wanted <= size else functional.pad(part, lacking))
        start += size
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim)


@contextmanager
def at_widths(network: nn.Module, architecture: Architecture, configuration: Widths) -> Iterator[None]:
    """Let the layers of ``network`` work at other widths inside the block, so that ``functional_call`` can hand them tensors.

    Only attributes such as ``groups`` and ``normalized_shape`` change; parameters stay, and the attributes come back.
    """
    before: list[tuple[nn.Module, str, object]] = []
    try:
        for module, attribute, value in _attributes(network, architecture, configuration):
            before.append((module, attribute, getattr(module, attribute)))
            setattr(module, attribute, value)
        yield
    finally:
        for module, attribute, value in before:
            setattr(module, attribute, value)


def resized(network: nn.Module, architecture: Architecture, configuration: Widths, parameters: Mapping[str, Tensor] | None) -> nn.Module:
    """A copy of ``network`` at a configuration, an ordinary module.

    ``parameters`` replaces tensors of the same names; what it does not name is sliced from the full network. Raises
    ValueError for a name that the network does not have and for a shape that does not fit the configuration.
    """
    given = dict(parameters or {})
    values = sliced(architecture, network.state_dict(), configuration)
    for name, tensor in given.items():
        if name not in values:
            raise ValueError(f"{name}: the network has no such tensor.")
        if tensor.shape != values[name].shape:
            raise ValueError(f"{name}: the shape {tuple(tensor.shape)} does not fit; expected {tuple(values[name].shape)}.")
    member = copy.deepcopy(network)
    for name in given.keys() | architecture.by_name.keys():
        _assign(member, name, given.get(name, values[name]))
    for module, attribute, value in _attributes(member, architecture, configuration):
        setattr(module, attribute, value)
    return member


def _assign(network: nn.Module, name: str, value: Tensor) -> None:
    path, _, leaf = name.rpartition(".")
    module = network.get_submodule(path)
    copied = value.detach().clone()
    old = getattr(module, leaf)
    setattr(module, leaf, nn.Parameter(copied, old.requires_grad) if isinstance(old, nn.Parameter) else copied)


def _attributes(network: nn.Module, architecture: Architecture, configuration: Widths) -> list[tuple[nn.Module, str, object]]:
    shapes: dict[str, dict[str, tuple[int, ...]]] = {}
    for parameter in architecture.parameters:
        path, _, leaf = parameter.name.rpartition(".")
        shapes.setdefault(path, {})[leaf] = parameter.shape(configuration)
    modules = {path: network.get_submodule(path) for path in shapes}
    return [(modules[path], key, value) for path, found in shapes.items() for key, value in sizes(modules[path], found).items()]
