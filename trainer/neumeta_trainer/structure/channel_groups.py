"""The architecture of a network that was never seen before: its channel groups, and what follows from each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from neumeta_core.architecture import Architecture
from neumeta_core.errors import NetworkUnsupported
from torch import Tensor, nn

from neumeta_trainer.structure.dependency import Channel, find_channels
from neumeta_trainer.structure.description import FoundGroup, Limits, describe
from neumeta_trainer.structure.layers import channel_layer
from neumeta_trainer.structure.tracing import Trace, trace
from neumeta_trainer.structure.verification import Verification


@dataclass(frozen=True)
class Analysis:
    """What can be resized in a network, and what stays as it is."""

    architecture: Architecture
    notes: tuple[str, ...]
    """One sentence for every channel group that stays at its full width: which, and why."""


def find_architecture(
    network: nn.Module,
    example: Tensor,
    *,
    min_ratio: float = 0.25,
    max_compression: float | None = None,
    granularity: int = 1,
    ignore: Sequence[str] = (),
) -> Analysis:
    """Find the channel groups of a network, fused or with BatchNorm, from its autograd trace on an example batch.

    A group is named after the first layer (in the order of execution) that makes its channels. Output channels of the
    layers (or modules that hold layers) named in ``ignore`` stay at full width, as does every group that cannot be
    resized; the notes say why. What is found was proved by running the network at other widths and in another order.
    Raises NetworkUnsupported when nothing can be resized, or when a tensor's layout cannot be described.
    """
    limits = Limits(min_ratio, 1 - min_ratio if max_compression is None else max_compression, granularity)
    _check(network, limits, ignore)
    traced = trace(network, example)
    groups = [_judged(network, group, limits, ignore) for group in _groups(network, example, traced)]
    architecture = describe(network, traced, groups, limits)
    verification = Verification(network, example)
    if verification.failure(architecture, architecture.full_widths):
        groups = [replace(group, obstacle=group.obstacle or verification.failure(architecture, [group.name])) for group in groups]
        architecture = describe(network, traced, groups, limits)
        if failure := verification.failure(architecture, architecture.full_widths):
            raise NetworkUnsupported(f"{type(network).__name__}: each channel group can be resized alone, but not all together: {failure}.")
    return Analysis(architecture, tuple(group.note for group in groups if group.obstacle))


def _check(network: nn.Module, limits: Limits, ignore: Sequence[str]) -> None:
    if not 0 < limits.min_ratio <= 1 or not 0 <= limits.max_compression < 1 or limits.granularity < 1:
        raise ValueError(f"{limits} is not possible; expected min_ratio in (0, 1], max_compression in [0, 1), granularity of at least 1.")
    for path in ignore:
        if path not in dict(network.named_modules()):
            raise ValueError(f"ignore: the network has no module {path!r}.")


def _groups(network: nn.Module, example: Tensor, traced: Trace) -> list[FoundGroup]:
    """Channels of one layer that touch the same tensors form a group."""
    groups = []
    for layer, channels in find_channels(network, example, traced.layers, traced.reused):
        alike: dict[tuple[object, ...], list[Channel]] = {}
        for channel in channels:
            alike.setdefault(channel.signature, []).append(channel)
        name = layer or type(network).__name__
        for number, members in enumerate(alike.values()):
            obstacle = "; ".join(sorted(members[0].obstacles))
            groups.append(FoundGroup(name if len(alike) == 1 else f"{name}#{number}", tuple(members), obstacle or None))
    return groups


def _judged(network: nn.Module, group: FoundGroup, limits: Limits, ignore: Sequence[str]) -> FoundGroup:
    """The group with an obstacle when it is to be ignored or has no other width."""
    obstacle = group.obstacle
    if any(path == layer or layer.startswith(f"{path}.") for layer in _makers(network, group) for path in ignore):
        obstacle = "it is to be ignored"
    elif obstacle is None and group.width % limits.granularity:
        obstacle = f"its width is no multiple of the granularity {limits.granularity}"
    elif obstacle is None and limits.minimum(group.width) == group.width:
        obstacle = "it has no smaller width"
    return replace(group, obstacle=obstacle)


def _makers(network: nn.Module, group: FoundGroup) -> set[str]:
    """Paths of the layers that make a group's channels."""
    makers = set()
    for name, dim, _ in group.channels[0].entries:
        path, _, leaf = name.rpartition(".")
        known = channel_layer(network.get_submodule(path))
        if known is not None and (leaf, dim) in known.following(outputs=True):
            makers.add(path)
    return makers
