"""Cutting manifold files open: change the header, the tensors or the template of a file's bytes, and sew it up again."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import onnx
import pytest
import safetensors.torch
import torch
from neumeta_core.errors import ManifoldRefused
from neumeta_core.manifold import Manifold
from torch import Tensor


def metadata_of(data: bytes) -> dict[str, str]:
    length = int.from_bytes(data[:8], "little")
    metadata: dict[str, str] = json.loads(data[8 : 8 + length])["__metadata__"]
    return metadata


def header_of(data: bytes) -> dict[str, Any]:
    header: dict[str, Any] = json.loads(metadata_of(data)["neumeta"])
    return header


def with_header_text(data: bytes, text: str) -> bytes:
    length = int.from_bytes(data[:8], "little")
    outer = json.loads(data[8 : 8 + length])
    outer["__metadata__"]["neumeta"] = text
    encoded = json.dumps(outer).encode()
    encoded += b" " * (-len(encoded) % 8)
    return len(encoded).to_bytes(8, "little") + encoded + data[8 + length :]


def with_value(data: bytes, path: tuple[str | int, ...], value: Any) -> bytes:
    """The file with one value of its header replaced."""
    header = header_of(data)
    place: Any = header
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return with_header_text(data, json.dumps(header))


def with_tensors(data: bytes, change: Callable[[dict[str, Tensor]], object]) -> bytes:
    tensors = safetensors.torch.load(data)
    change(tensors)
    return safetensors.torch.save(tensors, metadata_of(data))


def with_template(data: bytes, change: Callable[[onnx.ModelProto], object]) -> bytes:
    def edit(tensors: dict[str, Tensor]) -> None:
        model = onnx.load_from_string(tensors["template"].numpy().tobytes())
        change(model)
        tensors["template"] = torch.frombuffer(bytearray(model.SerializeToString()), dtype=torch.uint8)

    return with_tensors(data, edit)


def refusal(data: bytes) -> str:
    """Why a file is refused, in the one way that anything may be."""
    with pytest.raises(ManifoldRefused) as refused:
        Manifold.from_bytes(data)
    sentence = str(refused.value)
    assert len(sentence) < 500
    assert refused.value.code == "model_refused"
    return sentence
