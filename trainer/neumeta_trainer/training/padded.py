"""Members at the shapes of the full network: channels that a member lacks are zero.

So all members of a step have the same shapes, whatever their widths are, and the widths can be tensors. A zero channel stays zero
through convolutions, activations that keep zero, pooling and normalization of single channels, and the weights behind it are zero
as well. Where channels are normalized together it would count; ``is_exact`` tells.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import cast

import torch
from neumeta_core.architecture import Architecture, GeneratedParameter, Segment, Widths
from neumeta_core.configuration import Configuration
from neumeta_core.inr import AnchoredINR, FactorisedINR
from neumeta_core.levels import level_gates
from neumeta_core.materialize.padded import PaddedProducts
from torch import Tensor, nn
from torch.func import functional_call

from neumeta_trainer.compute import Compute
from neumeta_trainer.structure.resize import sliced
from neumeta_trainer.training.side_by_side import side_by_side
from neumeta_trainer.training.slices import Slices

TOLERANCE = 1e-3
"""Of the largest logit, between a padded member and the same one cut to its widths."""


def described(architecture: Architecture, gates: Callable[[Widths], list[float]], members: Sequence[Configuration]) -> tuple[Tensor, Tensor]:
    """Members as tensors on the CPU: widths ``[m, groups]`` and gates ``[m, gates]``, fp32."""
    widths = torch.tensor([[member[group.name] for group in architecture.groups] for member in members], dtype=torch.float32)
    return widths, torch.tensor([gates(member) for member in members], dtype=torch.float32)


class FlatParameters:
    """Parameters of the full network in one vector of ``P`` values, so that work on all of them is a few kernels."""

    def __init__(self, architecture: Architecture, names: Sequence[str], device: torch.device) -> None:
        parameters = [architecture.by_name[name] for name in names]
        full = architecture.full_widths
        self.names = list(names)
        self.architecture = architecture
        self.shapes = [parameter.shape(full) for parameter in parameters]
        self.sizes = [parameter.elements(full) for parameter in parameters]
        group_of = {group.name: index for index, group in enumerate(architecture.groups)}
        owners, channels = zip(*(_owners(parameter, group_of, full) for parameter in parameters), strict=True)
        self._owners, self._channels = torch.cat(owners, dim=1).to(device), torch.cat(channels, dim=1).to(device)
        numbers = torch.split(torch.arange(sum(self.sizes), device=device), self.sizes)
        self._numbers = {name: _unpacked(number, shape) for name, number, shape in zip(self.names, numbers, self.shapes, strict=True)}

    def mask(self, widths: Tensor) -> Tensor:
        """Which values members have: widths ``[m, groups]`` -> bool ``[m, P]``."""
        endless = widths.new_full((len(widths), 1), torch.inf)
        limits = torch.cat([widths, endless], dim=1)[:, self._owners.flatten()]
        return (limits.view(-1, *self._channels.shape) > self._channels).all(dim=1)

    def places(self, widths: Widths) -> Tensor:
        """Where the values of a member lie, in the order of ``joined``: ``[p]`` for its ``p`` values."""
        return self.joined(sliced(self.architecture, self._numbers, widths))

    def joined(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """``[…, *shape]`` by name -> ``[…, P]``; leading axes are handed through."""
        leading = tensors[self.names[0]].dim() - len(self.shapes[0])
        return torch.cat([_packed(tensors[name], leading) for name in self.names], dim=-1)

    def parts(self, flat: Tensor, matrices: Tensor) -> dict[str, Tensor]:
        """Views ``[*shape]`` of ``[P]`` by name; those of more than one axis are taken from ``matrices``, the same values perhaps rounded."""
        pairs = zip(torch.split(flat, self.sizes), torch.split(matrices, self.sizes), strict=True)
        chosen = [rounded if len(shape) > 1 else part for (part, rounded), shape in zip(pairs, self.shapes, strict=True)]
        return {name: _unpacked(values, shape) for name, values, shape in zip(self.names, chosen, self.shapes, strict=True)}


def _owners(parameter: GeneratedParameter, group_of: Mapping[str, int], full: Widths) -> tuple[Tensor, Tensor]:
    """Number of the group and of the channel that each value belongs to, on its output and on its input axis: ``[2, n]`` each."""
    shape, owners, channels = parameter.shape(full), [], []
    for dim in (parameter.out_dim, parameter.in_dim):
        axis = (Segment(count=1),) if dim is None else parameter.axes[dim]
        # What belongs to no group is the channel 0 of a group that has no end.
        owner = torch.cat([torch.full((part.size(full),), group_of.get(part.group or "", len(group_of))) for part in axis])
        channel = torch.cat([torch.arange(part.size(full)) // part.repeat * (part.group is not None) for part in axis])
        place = [-1 if at == dim else 1 for at in range(len(shape))]
        owners.append(_packed(owner.view(place if dim is not None else [1] * len(shape)).expand(shape), 0))
        channels.append(_packed(channel.view(place if dim is not None else [1] * len(shape)).expand(shape), 0))
    return torch.stack(owners), torch.stack(channels)


def _packed(tensor: Tensor, leading: int) -> Tensor:
    """``[…, *shape]`` -> ``[…, n]``; input channels come last, as in the memory of convolutions whose channels come last."""
    return (tensor.movedim(leading + 1, -1) if tensor.dim() - leading > 2 else tensor).flatten(leading)


def _unpacked(values: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The inverse, of one tensor, as a view."""
    return values.view(shape[0], *shape[2:], shape[1]).movedim(-1, 1) if len(shape) > 2 else values.view(shape)


class PaddedSlices:
    """The members of ``Slices``, several at once."""

    def __init__(self, slices: Slices, compute: Compute) -> None:
        self._slices, self._compute = slices, compute
        self.flat = FlatParameters(slices.architecture, slices.names, compute.device)
        self._places = [self.flat.places(level) for level in slices.levels]

    def describe(self, members: Sequence[Configuration]) -> tuple[Tensor, Tensor]:
        """What a call takes: see ``described``."""
        return described(self._slices.architecture, partial(level_gates, self._slices.architecture, self._slices.levels), members)

    def __call__(self, widths: Tensor, opened: Tensor, inputs: Tensor) -> Tensor:
        """Logits ``[m, n, classes]`` of members at widths ``[m, groups]`` and gates ``[m, levels]``, in training mode."""
        weights = self.weights(widths, opened)
        return logits_of(self._slices.network, self.flat, weights, inputs, self._compute)

    def weights(self, widths: Tensor, opened: Tensor) -> Tensor:
        """Parameters of members ``[m, P]``, differentiable as those of ``Slices.weights`` are."""
        slices, one = self._slices, opened.new_ones(len(opened), 1)
        own = [self.flat.joined(dict(slices.network.named_parameters()))]
        for places, addition in zip(self._places, slices.additions, strict=True):
            values = self.flat.joined(dict(zip(self.flat.names, cast("nn.ParameterList", addition), strict=True)))
            own.append(values.new_zeros(own[0].shape).index_copy(0, places, values))
        stacked = torch.stack(own)
        shares = torch.cat([one, opened], dim=1)
        passed = shares * (1 - (1 - slices.upward) * torch.cat([opened, 0 * one], dim=1))
        return (passed @ stacked + (shares - passed) @ stacked.detach()) * self.flat.mask(widths)


class PaddedGeneration:
    """What an INR makes for several members at once."""

    def __init__(self, inr: AnchoredINR | FactorisedINR) -> None:
        self._architecture, self._gates = inr.architecture, inr.gates
        device = next(inr.parameters()).device
        self.flat = FlatParameters(inr.architecture, [parameter.name for parameter in inr.architecture.parameters], device)
        self._products = PaddedProducts(inr)
        self._full = torch.tensor([group.full for group in inr.architecture.groups], device=device)

    def describe(self, members: Sequence[Configuration]) -> tuple[Tensor, Tensor]:
        """What a call takes: see ``described``."""
        return described(self._architecture, self._gates, members)

    def __call__(self, widths: Tensor, opened: Tensor) -> Tensor:
        """Generated parameters of members ``[m, P]`` at widths ``[m, groups]`` and gates ``[m, gates]``."""
        return self.flat.joined(self._products(widths / self._full, opened)) * self.flat.mask(widths)


def logits_of(network: nn.Module, flat: FlatParameters, weights: Tensor, inputs: Tensor, compute: Compute) -> Tensor:
    """Logits ``[m, n, classes]`` of a network with each of the parameters ``[m, P]`` in place of its own."""
    others = {name: parameter for name, parameter in network.named_parameters() if name not in flat.names}

    def logits(own: Tensor, *shared: Tensor) -> Tensor:
        parameters = flat.parts(own, own.bfloat16() if compute.mixed else own)
        with compute.autocast():
            found: Tensor = functional_call(network, parameters | dict(zip(others, shared, strict=True)), (inputs,))
        return found.float()

    with untracked(network):
        return side_by_side(logits, weights, list(others.values()))


@contextmanager
def untracked(network: nn.Module) -> Iterator[None]:
    """In training mode, normalization uses the statistics of the batch and leaves its own alone."""
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training]
    before = [norm.track_running_stats for norm in norms]
    try:
        for norm in norms:
            norm.track_running_stats = False
        yield
    finally:
        for norm, tracked in zip(norms, before, strict=True):
            norm.track_running_stats = tracked


@torch.no_grad()
def is_exact(slices: Slices, members: Sequence[Configuration], inputs: Tensor) -> bool:
    """Whether padded members compute what members cut to their widths compute; tried on the CPU in fp32."""
    plain = copy.deepcopy(slices).to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    plain.train()
    inputs, padded = inputs.cpu().contiguous(), PaddedSlices(plain, Compute())
    found = padded(*padded.describe(members), inputs)
    wanted = torch.stack([plain(member, inputs) for member in members])
    return bool((found - wanted).abs().max() <= TOLERANCE * wanted.abs().max())
