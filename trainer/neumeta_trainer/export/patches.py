"""Integers of an ONNX graph that follow from widths: found by comparing exports at several configurations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import onnx
from neumeta_core.architecture import Architecture, Patch, Segment, Widths, axis_size
from neumeta_core.errors import TemplateError
from onnx import AttributeProto, NodeProto, TensorProto

Axis = tuple[Segment, ...]


@dataclass(frozen=True)
class Export:
    """The graph of a network at some widths."""

    widths: Widths
    model: onnx.ModelProto


def find_patches(exports: Sequence[Export], architecture: Architecture) -> tuple[Patch, ...]:
    """Everything in which the nodes of these graphs differ, as axes whose sizes explain the values in all of them.

    Raises TemplateError, which names the node, when the graphs differ in anything else, or in a number that more than one
    group explains.
    """
    patches = []
    for nodes in _aligned(exports):
        for attributes in zip(*(sorted(node.attribute, key=lambda a: a.name) for node in nodes), strict=True):
            for index, values in _differences(nodes[0], attributes):
                axes = _explanations(values, exports, architecture)
                if len(axes) != 1:
                    explained = f"{' and '.join(str(axis[0].group) for axis in axes)} explain equally well" if axes else "no channel group explains"
                    raise TemplateError(
                        f"node {nodes[0].name}: {attributes[0].name} is {_table(values, exports)}, which {explained}. "
                        "Let the network compute this number from its input's shape, or keep the group at full width."
                    )
                (axis,) = axes
                patches.append(Patch(node=nodes[0].name, attribute=attributes[0].name, index=index, axis=axis))
    return tuple(patches)


def _aligned(exports: Sequence[Export]) -> Iterator[tuple[NodeProto, ...]]:
    """Nodes that stand at the same place in all graphs."""
    graphs = [export.model.graph for export in exports]
    if len({len(graph.node) for graph in graphs}) > 1:
        counts = ", ".join(str(len(graph.node)) for graph in graphs)
        raise TemplateError(f"the graph has another number of nodes at other widths ({counts}); the network must do the same at all widths.")
    for nodes in zip(*(graph.node for graph in graphs), strict=True):
        if len({_wiring(node) for node in nodes}) > 1:
            node = nodes[0]
            raise TemplateError(f"node {node.name} ({node.op_type}) is another one at other widths; the network must do the same at all widths.")
        yield nodes


def _wiring(node: NodeProto) -> tuple[object, ...]:
    attributes = sorted((attribute.name, attribute.type) for attribute in node.attribute)
    return node.name, node.domain, node.op_type, tuple(node.input), tuple(node.output), tuple(attributes)


def _differences(node: NodeProto, attributes: Sequence[AttributeProto]) -> Iterator[tuple[int | None, tuple[int, ...]]]:
    """(index within the attribute, its values in all graphs) wherever they differ."""
    if len({attribute.SerializeToString(deterministic=True) for attribute in attributes}) == 1:
        return
    integers = [_integers(attribute) for attribute in attributes]
    lists = [found for found in integers if found is not None]
    if len(lists) < len(integers) or len({len(found) for found in lists}) > 1:
        raise TemplateError(f"node {node.name}: {attributes[0].name} is another one at other widths, and is no integer or list of them.")
    for index, values in enumerate(zip(*lists, strict=True)):
        if len(set(values)) > 1:
            yield None if attributes[0].type == AttributeProto.INT else index, values


def _integers(attribute: AttributeProto) -> list[int] | None:
    if attribute.type == AttributeProto.INT:
        return [attribute.i]
    if attribute.type == AttributeProto.INTS:
        return list(attribute.ints)
    if attribute.type == AttributeProto.TENSOR and attribute.t.data_type == TensorProto.INT64:
        return [int(value) for value in onnx.numpy_helper.to_array(attribute.t).reshape(-1)]
    return None


def _explanations(values: Sequence[int], exports: Sequence[Export], architecture: Architecture) -> list[Axis]:
    """Multiples of a group, one for each group that fits; where none does, the first axis of a parameter that does."""
    multiples = [axis for axis in _multiples(values[0], exports[0].widths) if _sizes(axis, exports) == list(values)]
    return multiples or [axis for axis in _starts(architecture) if _sizes(axis, exports) == list(values)][:1]


def _sizes(axis: Axis, exports: Sequence[Export]) -> list[int]:
    return [axis_size(axis, export.widths) for export in exports]


def _multiples(value: int, widths: Widths) -> Iterator[Axis]:
    for group, width in widths.items():
        if (factor := value // width) > 0:
            yield (Segment(group=group, repeat=factor),)


def _starts(architecture: Architecture) -> Iterator[Axis]:
    """Axes of parameters, and what such an axis starts with (where a concatenation is split)."""
    for parameter in architecture.parameters:
        for axis in parameter.axes:
            for end in range(len(axis), 0, -1):
                yield axis[:end]


def _table(values: Sequence[int], exports: Sequence[Export]) -> str:
    return ", ".join(f"{value} at {dict(export.widths)}" for value, export in zip(values, exports, strict=True))
