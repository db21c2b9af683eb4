"""From the channels that were found to an Architecture: axes as segments, parameters, costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from neumeta_core.architecture import Architecture, ChannelGroup, GeneratedParameter, Segment
from neumeta_core.errors import NetworkUnsupported
from torch import Tensor, nn

from neumeta_trainer.structure.dependency import Channel
from neumeta_trainer.structure.layers import ChannelTensor, channel_layer
from neumeta_trainer.structure.tracing import Trace

Owner = tuple[str, int]
"""(group, number of the channel in it)."""


@dataclass(frozen=True)
class Limits:
    """Widths that every group may take: multiples of ``granularity`` from ``min_ratio`` of its channels to all of them."""

    min_ratio: float
    max_compression: float
    granularity: int

    def minimum(self, full: int) -> int:
        """Smallest width of a group: the rounding of ``neumeta_core.configuration``, and at least one step."""
        steps = math.floor(round(full * self.min_ratio / self.granularity, 9) + 0.5)
        return self.granularity * max(1, steps)


@dataclass(frozen=True)
class FoundGroup:
    """Channels that are resized together, or stay for the reason that ``obstacle`` gives."""

    name: str
    channels: tuple[Channel, ...]
    obstacle: str | None = None

    @property
    def width(self) -> int:
        """Number of channels in the full network."""
        return len(self.channels)

    @property
    def note(self) -> str:
        """Why the group stays at its full width."""
        return f"{self.name} keeps its full width of {self.width}: {self.obstacle}."


def describe(network: nn.Module, traced: Trace, groups: Sequence[FoundGroup], limits: Limits) -> Architecture:
    """The architecture of a network with these groups; those with an obstacle become fixed counts.

    Raises NetworkUnsupported when no group is left, or when the entries of a group on an axis are no runs of channels.
    """
    free = [group for group in groups if group.obstacle is None]
    if not free:
        reasons = " ".join(group.note for group in groups)
        raise NetworkUnsupported(f"{type(network).__name__} has no channel group that can be resized. {reasons}".strip())
    owners = _owners(free)
    tensors = network.state_dict()
    names = [name for name, tensor in tensors.items() if any((name, dim) in owners for dim in range(tensor.dim()))]
    return Architecture(
        groups=tuple(
            ChannelGroup(name=group.name, full=group.width, minimum=limits.minimum(group.width), granularity=limits.granularity) for group in free
        ),
        parameters=tuple(_parameter(network, name, tensors[name], owners, traced) for name in names),
        max_compression=limits.max_compression,
        fixed_params=sum(parameter.numel() for name, parameter in network.named_parameters() if name not in names),
        fixed_macs=round(sum(macs for name, macs in _macs(network, traced).items() if name not in names)),
    )


def _owners(groups: Sequence[FoundGroup]) -> dict[tuple[str, int], dict[int, Owner]]:
    owners: dict[tuple[str, int], dict[int, Owner]] = {}
    for group in groups:
        for number, channel in enumerate(group.channels):
            for name, dim, index in channel.entries:
                owners.setdefault((name, dim), {})[index] = (group.name, number)
    return owners


def _parameter(
    network: nn.Module, name: str, tensor: Tensor, owners: Mapping[tuple[str, int], Mapping[int, Owner]], traced: Trace
) -> GeneratedParameter:
    path, _, leaf = name.rpartition(".")
    role = _role(network.get_submodule(path), leaf)
    axes = tuple(_axis(f"{name}, dimension {dim}", size, owners.get((name, dim), {})) for dim, size in enumerate(tensor.shape))
    used = traced.positions.get(path, 0) if leaf == "weight" else 0
    return GeneratedParameter(name=name, axes=axes, out_dim=role.out_dim, in_dim=role.in_dim, macs_per_element=used)


def _role(module: nn.Module, leaf: str) -> ChannelTensor:
    known = channel_layer(module)
    assert known is not None
    return next(tensor for tensor in known.tensors if tensor.name == leaf)


def _axis(where: str, size: int, owners: Mapping[int, Owner]) -> tuple[Segment, ...]:
    """Runs of whole groups, each channel repeated equally often and in order, between fixed entries."""
    sequence = [owners.get(index) for index in range(size)]
    widths: dict[str, int] = {}
    for group, number in owners.values():
        widths[group] = max(widths.get(group, 0), number + 1)
    segments: list[Segment] = []
    start = 0
    while start < size:
        owner = sequence[start]
        repeat = _run(sequence, start)
        if owner is None:
            segments.append(Segment(count=repeat))
            start += repeat
            continue
        group, width = owner[0], widths[owner[0]]
        if sequence[start : start + width * repeat] != [(group, number) for number in range(width) for _ in range(repeat)]:
            raise NetworkUnsupported(
                f"{where}: the channels of {group} are no run of equally repeated channels in order. "
                f"Name its layers in ignore to keep the group as it is, or flatten and concatenate along whole channels."
            )
        segments.append(Segment(group=group, repeat=repeat))
        start += width * repeat
    return tuple(segments)


def _run(sequence: Sequence[Owner | None], start: int) -> int:
    """Number of equal entries from ``start`` on."""
    end = start
    while end < len(sequence) and sequence[end] == sequence[start]:
        end += 1
    return end - start


def _macs(network: nn.Module, traced: Trace) -> dict[str, float]:
    """Weight -> multiply-adds per input sample in the full network."""
    macs = {}
    for path, positions in traced.positions.items():
        weight = network.get_submodule(path).weight
        assert isinstance(weight, Tensor)
        macs[f"{path}.weight" if path else "weight"] = weight.numel() * positions
    return macs
