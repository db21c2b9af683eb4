"""Which entries of which tensors belong to one channel, found with torch-pruning's dependency graph.

The graph answers for one channel of one layer at a time: what else has to go when this channel goes. Asking for every
channel gives the exact entries, through flattens, concatenations and splits.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch_pruning
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch_pruning.pruner.function import BasePruningFunc

from neumeta_trainer.structure.layers import Affine, ChannelLayer, channel_layer, tied_parameters

INPUT = "it reaches the network's input"
OUTPUT = "it reaches the network's output"

Entry = tuple[str, int, int]
"""(tensor name, dimension, index)."""


@dataclass(frozen=True)
class Channel:
    """One channel: all entries that come and go together, and what keeps it from going."""

    entries: frozenset[Entry]
    obstacles: frozenset[str]

    @property
    def signature(self) -> tuple[object, ...]:
        """Equal for channels that touch the same tensors in the same way."""
        places = sorted((name, dim) for name, dim, _ in self.entries)
        return (*places, *sorted(self.obstacles))


def find_channels(network: nn.Module, example: Tensor, layers: Sequence[str], reused: Sequence[str]) -> Iterator[tuple[str, list[Channel]]]:
    """(layer, its new output channels), for every layer that mixes channels, in the order of ``layers`` (paths).

    ``reused`` are the paths of layers that run more than once. A channel is new when no earlier layer named it. Those of a layer of which
    it is not known how it makes them have an obstacle and no entries.
    """
    prober = _Prober(network, example, reused)
    seen: set[Entry] = set()
    for path in layers:
        found = _unknown(network.get_submodule(path))
        for index in range(prober.width(path)):
            if prober.entry(path, index) in seen:
                continue
            channel = prober.channel(path, index)
            seen |= channel.entries
            found.append(channel)
        if found:
            yield path, found


def marked_graph(network: nn.Module, example: Tensor) -> tuple[Any, Marked]:
    """torch-pruning's dependency graph of a network in eval mode, and the network between the marks that the graph is built on."""
    marked = Marked(network, example)
    pruners = {Affine: _VectorPruner(), _Mark: _VectorPruner()}
    graph = torch_pruning.DependencyGraph()
    with torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the library, about its own autograd use
        graph.build_dependency(marked, (example,), forward_fn=_forward, customized_pruners=pruners, verbose=False)
    return graph, marked


class _Prober:
    """A dependency graph over a copy of the network, with marks at its input and output."""

    def __init__(self, network: nn.Module, example: Tensor, reused: Sequence[str]) -> None:
        self._graph, marked = marked_graph(copy.deepcopy(network).eval().requires_grad_(True), example)
        self._marks = {marked.input_mark: INPUT, marked.output_mark: OUTPUT}
        self._modules = dict(marked.network.named_modules())
        self._paths = {module: path for path, module in self._modules.items()}
        self._parameters = {id(parameter): name for name, parameter in marked.network.named_parameters()}
        self._tied = _tied_layers(network, reused)

    def width(self, path: str) -> int:
        """Number of output channels of a layer; 0 when it makes none of its own or is not part of the graph."""
        module = self._modules[path]
        known = channel_layer(module)
        if known is None or known.channelwise or module not in self._graph.module2node:
            return 0
        return int(getattr(module, known.tensors[0].name).shape[known.tensors[0].out_dim])

    def entry(self, path: str, index: int) -> Entry:
        known = self._known(path)
        return _name(path, known.tensors[0].name), known.tensors[0].out_dim, index

    def channel(self, path: str, index: int) -> Channel:
        """What goes when output channel ``index`` of a layer goes."""
        module = self._modules[path]
        entries: set[Entry] = {self.entry(path, index)}
        obstacles: set[str] = set()
        for dependency, indices in self._graph.get_pruning_group(module, self._graph.get_pruner_of_module(module).prune_out_channels, [index]):
            target = dependency.target.module
            if isinstance(target, nn.Parameter):
                obstacles.add(f"the parameter {self._parameters[id(target)]} follows it outside of any known layer")
            elif target in self._marks:
                obstacles.add(self._marks[target])
            elif target in self._paths:
                outputs = self._graph.is_out_channel_pruning_fn(dependency.handler)
                entries |= self._entries(self._paths[target], indices, outputs, obstacles)
        return Channel(frozenset(entries), frozenset(obstacles))

    def _entries(self, path: str, indices: Sequence[int], outputs: bool, obstacles: set[str]) -> set[Entry]:
        known = channel_layer(self._modules[path])
        if known is None:
            obstacles.add(f"it runs through {path}, a {_kind(self._modules[path])}, which is not supported")
            return set()
        if path in self._tied:
            obstacles.add(self._tied[path])
        return {(_name(path, tensor), dim, index) for tensor, dim in known.following(outputs=outputs) for index in indices}

    def _known(self, path: str) -> ChannelLayer:
        known = channel_layer(self._modules[path])
        assert known is not None
        return known


def _tied_layers(network: nn.Module, reused: Sequence[str]) -> dict[str, str]:
    reasons = {path: f"{path} runs more than once (tied weights)" for path in reused}
    for names in tied_parameters(network).values():
        reasons |= {name.rpartition(".")[0]: f"{' and '.join(names)} are one parameter (tied weights)" for name in names}
    return reasons


def _unknown(module: nn.Module) -> list[Channel]:
    """The output channels of a convolution or Linear that is not supported."""
    if not isinstance(module, _ConvNd | nn.Linear) or channel_layer(module) is not None:
        return []
    width = module.out_channels if isinstance(module, _ConvNd) else module.out_features
    return [Channel(frozenset(), frozenset({f"a {_kind(module)} makes it, which is not supported"}))] * width


def _kind(module: nn.Module) -> str:
    name = type(module).__name__
    if getattr(module, "groups", 1) > 1:
        return f"grouped {name}"
    computed = isinstance(module, _ConvNd | nn.Linear) and "weight" not in module._parameters
    return f"{name.removeprefix('Parametrized')} with a reparametrized weight" if computed else name


def _name(path: str, tensor: str) -> str:
    return f"{path}.{tensor}" if path else tensor


def _forward(network: nn.Module, inputs: tuple[Tensor]) -> Tensor:
    output: Tensor = network(*inputs)
    return output


class _Mark(nn.Module):
    """The identity, as a layer that the graph can see."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.one = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.one


class Marked(nn.Module):
    """A network between two marks. Without them a channel of the input image looks like any other."""

    def __init__(self, network: nn.Module, example: Tensor) -> None:
        super().__init__()
        self.input_mark = _Mark(example.shape[1])
        self.network = network
        with torch.no_grad():
            self.output_mark = _Mark(network(example).shape[1])
        self.to(example.device)

    def forward(self, x: Tensor) -> Tensor:
        """What the network computes."""
        output: Tensor = self.output_mark(self.network(self.input_mark(x)))
        return output


class _VectorPruner(BasePruningFunc):  # type: ignore[misc]  # torch_pruning has no types
    """Tells the graph that a layer hands every channel on. Nothing is ever pruned."""

    def prune_out_channels(self, layer: nn.Module, idxs: Sequence[int]) -> nn.Module:  # noqa: ARG002  (the base class passes them)
        return layer

    prune_in_channels = prune_out_channels

    def get_out_channels(self, layer: nn.Module) -> int:
        return layer.width if isinstance(layer, _Mark) else len(layer.weight)  # type: ignore[arg-type]  # registered for layers with a weight alone

    get_in_channels = get_out_channels
