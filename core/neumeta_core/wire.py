"""ONNX files in pieces, in the protobuf wire format (https://protobuf.dev/programming-guides/encoding/).

A model with its weights inside, serialized by the library, is held three times: as arrays, in the message and in the file. So the file
is joined from the serialization of the model without these weights and from the arrays themselves. What comes out is, byte for byte,
what the library would write, as long as initializers have no doc strings, which templates have not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
import onnx

from neumeta_core.precision.encoding import Array

Piece = bytes | str
"""Bytes, or the name of an initializer whose values belong there."""
AnyMessage = TypeVar("AnyMessage", onnx.ModelProto, onnx.GraphProto)

_GRAPH = onnx.ModelProto.DESCRIPTOR.fields_by_name["graph"].number
_INITIALIZER = onnx.GraphProto.DESCRIPTOR.fields_by_name["initializer"].number
_RAW_DATA = onnx.TensorProto.DESCRIPTOR.fields_by_name["raw_data"].number


def lay_out(model: onnx.ModelProto, sizes: Mapping[str, int]) -> list[Piece]:
    """The file of a model, cut where the values of some initializers are missing; ``sizes`` are their lengths in bytes, by name.

    ``model`` is taken apart: its initializers are gone afterwards.
    """
    model.DiscardUnknownFields()  # They would stay on both sides of a cut.
    tensors = [(tensor.name, tensor.SerializeToString(deterministic=True)) for tensor in model.graph.initializer]
    del model.graph.initializer[:]
    graph_before, graph_after = _cut(model.graph, _INITIALIZER)
    graph: list[Piece] = [graph_before]
    for name, described in tensors:
        # Values are the last field that the initializers of artifacts have.
        values = _field(_RAW_DATA, [name], sizes) if name in sizes else []
        graph += _field(_INITIALIZER, [described, *values], sizes)
    graph.append(graph_after)
    model.ClearField("graph")
    before, after = _cut(model, _GRAPH)
    return [before, *_field(_GRAPH, graph, sizes), after]


def length(pieces: Sequence[Piece], sizes: Mapping[str, int]) -> int:
    """Bytes of the whole file."""
    return sum(sizes[piece] if isinstance(piece, str) else len(piece) for piece in pieces)


def join(pieces: Sequence[Piece], arrays: Mapping[str, Array]) -> bytes:
    """The file; every array is copied once."""
    return b"".join(_view(arrays[piece]) if isinstance(piece, str) else piece for piece in pieces)


def _view(array: Array) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _field(number: int, content: Sequence[Piece], sizes: Mapping[str, int]) -> list[Piece]:
    """A length-delimited field: tag, length, content."""
    return [_varint(number << 3 | 2) + _varint(length(content, sizes)), *content]


def _varint(value: int) -> bytes:
    """Seven bits a byte, lowest first; the high bit says that more follow."""
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def _cut(message: AnyMessage, number: int) -> tuple[bytes, bytes]:
    """The serialization of the fields below and above a field number."""
    below, above = type(message)(), type(message)()
    below.CopyFrom(message)
    above.CopyFrom(message)
    for field, _ in message.ListFields():
        (above if field.number < number else below).ClearField(field.name)
    return below.SerializeToString(deterministic=True), above.SerializeToString(deterministic=True)
