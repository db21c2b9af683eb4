"""Names in a graph, for what a conversion adds to it."""

from __future__ import annotations

import onnx


def names(graph: onnx.GraphProto) -> set[str]:
    """Of all nodes and values, those of inner graphs too."""
    nodes = [name for node in graph.node for name in (node.name, *node.input, *node.output)]
    values = [value.name for value in (*graph.initializer, *graph.input, *graph.output)]
    inner = [names(attribute.g) for node in graph.node for attribute in node.attribute if attribute.type == onnx.AttributeProto.GRAPH]
    return {*nodes, *values}.union(*inner)


def free(name: str, taken: set[str]) -> str:
    """The name, with underscores behind it while the template has one like it; it is taken from then on."""
    while name in taken:
        name += "_"
    taken.add(name)
    return name
