"""Structured pruning of a trained network with torch-pruning's importances, to the widths of a member exactly.

torch-pruning's pruner takes a ratio and rounds down, so it would miss widths that a member has. In one step it scores all
channel groups of the full network and removes the channels with the lowest scores, group by group. Here its dependency graph
and its importances (at their defaults: the mean over all layers of a group) give the scores, and the project's own slices
keep the channels with the highest ones: the same networks wherever both have the same widths.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Literal

import torch
from neumeta_core.architecture import Architecture, Segment
from torch import Tensor, nn
from torch.nn import functional
from torch_pruning.pruner import importance as scorers

from neumeta_trainer.structure.dependency import marked_graph
from neumeta_trainer.structure.layers import channel_layer
from neumeta_trainer.structure.ordering import Permutations
from neumeta_trainer.structure.smoothing import group_axes

Importance = Literal["l1", "l2", "taylor", "hessian", "random"]
LabelledBatches = Sequence[tuple[Tensor, Tensor]]
"""Prepared inputs with their labels."""


def pruning_order(network: nn.Module, architecture: Architecture, importance: Importance, batches: LabelledBatches, *, seed: int = 0) -> Permutations:
    """The channels of every group by descending importance, equal ones as they were: a prefix is what pruning leaves.

    ``l1`` and ``l2`` look at weights alone, ``taylor`` (first order, of the mean loss) and ``hessian`` (the Fisher diagonal, from the
    gradients of single images) at the loss on ``batches``, ``random`` at ``seed`` alone.
    """
    scored = copy.deepcopy(network).eval().requires_grad_(True)
    if importance == "taylor":
        _mean_gradient(scored, batches)
    elif importance == "hessian":
        _squared_gradients(scored, batches)
    (graph, _), scorer = marked_graph(scored, batches[0][0][:2]), _scorer(importance)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        scores = {group.name: _scores(scored, graph, scorer, architecture, group.name) for group in architecture.groups}
    return {name: torch.argsort(values, descending=True, stable=True).tolist() for name, values in scores.items()}


def _scorer(importance: Importance) -> Any:
    if importance == "taylor":
        return scorers.GroupTaylorImportance()
    if importance == "hessian":
        return scorers.GroupHessianImportance()
    if importance == "random":
        return scorers.RandomImportance()
    return scorers.GroupMagnitudeImportance(p=1 if importance == "l1" else 2)


def _scores(network: nn.Module, graph: Any, scorer: Any, architecture: Architecture, group: str) -> Tensor:
    """One score for each channel of a group."""
    path, offset, segment = _maker(network, architecture, group)
    layer = network.get_submodule(path)
    pruner = graph.get_pruner_of_module(layer)
    # All channels of the layer, also where the group is a part of them: the library numbers scores as the layer numbers channels.
    found = graph.get_pruning_group(layer, pruner.prune_out_channels, list(range(pruner.get_out_channels(layer))))
    scores: Tensor = scorer(found).detach().cpu()
    size = segment.size(architecture.full_widths)
    return scores[offset : offset + size].reshape(-1, segment.repeat).sum(1)


def _maker(network: nn.Module, architecture: Architecture, group: str) -> tuple[str, int, Segment]:
    """(path of a layer that makes the channels of a group, where they begin among its outputs, how they lie there)."""
    for parameter, dim, offset, segment in group_axes(architecture, group):
        path = parameter.name.rpartition(".")[0]
        known = channel_layer(network.get_submodule(path))
        if known is not None and not known.channelwise and dim == parameter.out_dim:
            return path, offset, segment
    raise AssertionError(f"{group}: no layer makes its channels")


def _mean_gradient(network: nn.Module, batches: LabelledBatches) -> None:
    """Leave the gradient of the mean loss in the network."""
    count = sum(len(labels) for _, labels in batches)
    for inputs, labels in batches:
        _backward(functional.cross_entropy(network(inputs), labels, reduction="sum") / count)


def _squared_gradients(network: nn.Module, batches: LabelledBatches) -> None:
    """Leave the mean over images of the squared gradient in place of the gradient, where the library's importance looks for it.

    The library's own ``accumulate_grad`` keeps the last image alone (version 1.6.1 looks for names among parameters).
    """
    parameters = list(network.parameters())
    total, count = [torch.zeros_like(parameter) for parameter in parameters], 0
    for inputs, labels in batches:
        for index in range(len(labels)):
            network.zero_grad(set_to_none=True)
            _backward(functional.cross_entropy(network(inputs[index : index + 1]), labels[index : index + 1]))
            for square, parameter in zip(total, parameters, strict=True):
                if parameter.grad is not None:
                    square += parameter.grad.square()
        count += len(labels)
    for square, parameter in zip(total, parameters, strict=True):
        parameter.grad = square / count


def _backward(loss: Tensor) -> None:
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
