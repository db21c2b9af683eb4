"""Whether the graph in a manifold file is one of which members can be made, and which does no harm to who reads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, TypeVar

import onnx

from neumeta_core.architecture import Architecture, Widths
from neumeta_core.errors import AssemblyError, ManifoldRefused
from neumeta_core.header import Header
from neumeta_core.template import IR_VERSION, OPSET, hollow

AnyMessage = TypeVar("AnyMessage")
_FIELDS: dict[type[Any], tuple[str, ...]] = {
    onnx.ModelProto: ("ir_version", "opset_import", "graph"),
    onnx.GraphProto: ("name", "node", "initializer", "input", "output"),
}
_WITHOUT_VALUES = ("name", "dims", "data_type")


def check_template(template: bytes, header: Header) -> None:
    """The template is an ONNX model with the header's input and output, valid at the smallest and the full widths. Raises ManifoldRefused."""
    try:
        model = onnx.load_from_string(template)
    except Exception:
        raise ManifoldRefused("the template is no ONNX model.") from None
    opsets = {opset.domain: opset.version for opset in model.opset_import}
    if model.ir_version != IR_VERSION or opsets.get("") != OPSET:
        found = f"IR version {model.ir_version} and opset {opsets.get('')}"
        raise ManifoldRefused(f"the template has {found}; expected IR version {IR_VERSION} and opset {OPSET}.")
    _check_whole(model)
    _check_fields(model)
    _check_initializers(model.graph, header.architecture)
    _check_ends(model.graph, header)
    _check_patches(model, header.architecture)
    try:
        check_extremes(model, header.architecture)
    except AssemblyError as error:
        raise ManifoldRefused(f"the template makes no valid model at {error}") from None


def check_extremes(model: onnx.ModelProto, architecture: Architecture) -> None:
    """The smallest and the full member are valid: a width that was left unpatched fits one of them at most.

    Raises AssemblyError with the widths and the checker's reason.
    """
    for name, widths in (("smallest", architecture.smallest_widths), ("full", architecture.full_widths)):
        try:
            _check_member(model, architecture, widths)
        except Exception as error:
            reason = str(error).strip().partition("\n")[0]
            raise AssemblyError(f"the {name} widths: {reason}") from None


def _check_member(model: onnx.ModelProto, architecture: Architecture, widths: Widths) -> None:
    """Its weights come as inputs: with values, even zeros, a small file could ask for as much memory as it likes."""
    member = hollow(model, architecture, widths)
    generated = [initializer for initializer in member.graph.initializer if initializer.name in architecture.by_name]
    for weight in generated:
        member.graph.initializer.remove(weight)
        member.graph.input.append(onnx.helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims))
    onnx.checker.check_model(member, full_check=True)


def _check_whole(model: onnx.ModelProto) -> None:
    """No tensor has its values in another file: reading them would read a file of this host into what is served."""
    for tensor in _messages(model, onnx.TensorProto):
        if tensor.external_data or tensor.data_location:
            raise ManifoldRefused(f"the template keeps values of {tensor.name or 'a tensor'} in another file.")


def _check_fields(model: onnx.ModelProto) -> None:
    """Nothing is there but the graph: functions that call functions take for ever to check, and the rest would be in every artifact."""
    message: Any
    for message in (model, *_messages(model, onnx.GraphProto)):
        surplus = [field.name for field, _ in message.ListFields() if field.name not in _FIELDS[type(message)]]
        if surplus:
            raise ManifoldRefused(f"the template has {', '.join(surplus)}; expected nothing but {', '.join(_FIELDS[type(message)])}.")


def _messages(message: Any, kind: type[AnyMessage]) -> Iterator[AnyMessage]:
    """Every message of a kind inside of one, however deep: by way of all fields that it has, so that no place is forgotten."""
    if isinstance(message, kind):
        yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in [value] if hasattr(value, "ListFields") else value:  # One message, or those of a repeated field.
                yield from _messages(inner, kind)


def _check_initializers(graph: onnx.GraphProto, architecture: Architecture) -> None:
    initializers = {initializer.name: initializer for initializer in graph.initializer}
    for parameter in architecture.parameters:
        expected, found = parameter.shape(architecture.full_widths), initializers.get(parameter.name)
        if found is None or tuple(found.dims) != expected:
            shape = None if found is None else tuple(found.dims)
            raise ManifoldRefused(f"the template holds {parameter.name} as {shape}; the header asks for {expected}.")
        if found.data_type != onnx.TensorProto.FLOAT or any(field.name not in _WITHOUT_VALUES for field, _ in found.ListFields()):
            raise ManifoldRefused(f"the template must hold {parameter.name} as fp32 without values.")


def _check_ends(graph: onnx.GraphProto, header: Header) -> None:
    """One input and one output, both fp32, the input with the header's shape behind a batch axis wherever the graph says how long an axis is."""
    ends = [header.input.name], [header.output.name]
    if ([value.name for value in graph.input], [value.name for value in graph.output]) != ends:
        raise ManifoldRefused(f"the template's only input and output must be {ends[0][0]} and {ends[1][0]}, as the header says.")
    if any(value.type.tensor_type.elem_type != onnx.TensorProto.FLOAT for value in (*graph.input, *graph.output)):
        raise ManifoldRefused("the template's input and output must be fp32.")
    found = [axis.dim_value if axis.HasField("dim_value") else None for axis in graph.input[0].type.tensor_type.shape.dim]
    expected = [None, *header.input.shape]
    if len(found) != len(expected) or any(None not in pair and pair[0] != pair[1] for pair in zip(found, expected, strict=True)):
        raise ManifoldRefused(f"the template's input has the axes {found}; the header says {expected}.")


def _check_patches(model: onnx.ModelProto, architecture: Architecture) -> None:
    nodes = Counter(node.name for node in model.graph.node)
    for patch in architecture.patches:
        if nodes[patch.node] != 1:
            raise ManifoldRefused(f"a patch names the node {patch.node}, which the template has {nodes[patch.node]} times.")
    patched = onnx.ModelProto()
    patched.CopyFrom(model)
    try:
        hollow(patched, architecture, architecture.full_widths)
    except AssemblyError as error:
        raise ManifoldRefused(f"a patch does not fit the template: {error}") from None
