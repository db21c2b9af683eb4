"""The part of a network that is the same in all members: it runs once for all of them."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass
from operator import attrgetter

import torch
from neumeta_core.architecture import Architecture
from torch import Tensor, fx, nn

from neumeta_trainer.structure.layers import Affine
from neumeta_trainer.structure.resize import resized


@dataclass(frozen=True)
class Divided:
    """A network in two parts: ``branch(*trunk(inputs))`` is what the network computes.

    Both hold the layers of the network itself under the same paths, so a branch takes its parameters through ``functional_call``.
    """

    trunk: nn.Module
    """Inputs -> a tuple of the values that the branch needs; no parameter of it differs between members."""
    branch: nn.Module


def divide(network: nn.Module, architecture: Architecture, example: Tensor) -> Divided:
    """Cut a network before everything that depends on a parameter of ``architecture``; ``example`` is an input batch.

    The trunk does nothing where the first layers differ, where torch.fx cannot trace the network, and where a cut would change it:
    when the forward pass reads widths from layers, which tracing writes down as constants, or changes in place what members share.
    """
    whole = Divided(_Inputs(), network)
    try:
        graph = _Tracer().trace(network)
    except Exception:  # a forward pass may do anything
        return whole
    common = _unreached(graph, network, {id(network.get_parameter(name)) for name in architecture.by_name})
    if all(node.op in ("placeholder", "get_attr") for node in common):
        return whole
    border = [node for node in common if any(user not in common for user in node.users)]
    trunk, branch = fx.Graph(), fx.Graph()
    copies = _copied(trunk, common, {})
    trunk.output(tuple(copies[node] for node in border))
    _copied(branch, (node for node in graph.nodes if node not in common), {node: branch.placeholder(node.name) for node in border})
    divided = Divided(fx.GraphModule(network, trunk), fx.GraphModule(network, branch))
    return divided if _agrees(divided, network, architecture, example) else whole


@torch.no_grad()
def _agrees(divided: Divided, network: nn.Module, architecture: Architecture, example: Tensor) -> bool:
    """Whether the smallest member is the same in both, also when it is not the first that runs."""
    smallest = {group.name: group.minimum for group in architecture.groups}
    wanted = resized(network, architecture, smallest, None)(example)
    branch = fx.Interpreter(resized(divided.branch, architecture, smallest, None))
    common = divided.trunk(example)
    try:
        _, found = branch.run(*common), branch.run(*common)
    except Exception:  # whatever a wrong width brings about
        return False
    return torch.allclose(found, wanted, rtol=1e-4, atol=1e-5)


def _unreached(graph: fx.Graph, network: nn.Module, differing: Container[int]) -> dict[fx.Node, None]:
    """Nodes, in order, that none of these parameters reaches; by identity, for tied parameters have several names."""
    unreached: dict[fx.Node, None] = {}
    for node in graph.nodes:
        reached = any(before not in unreached for before in node.all_input_nodes)
        if node.op != "output" and not reached and not any(id(parameter) in differing for parameter in _parameters(node, network)):
            unreached[node] = None
    return unreached


def _parameters(node: fx.Node, network: nn.Module) -> Iterable[object]:
    if node.op == "call_module":
        return network.get_submodule(str(node.target)).parameters()
    return [attrgetter(str(node.target))(network)] if node.op == "get_attr" else []


def _copied(graph: fx.Graph, nodes: Iterable[fx.Node], copies: dict[fx.Node, fx.Node]) -> dict[fx.Node, fx.Node]:
    for node in nodes:
        copies[node] = graph.node_copy(node, copies.__getitem__)
    return copies


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, Affine) or super().is_leaf_module(m, module_qualified_name)


class _Inputs(nn.Module):
    def forward(self, inputs: Tensor) -> tuple[Tensor]:
        return (inputs,)
