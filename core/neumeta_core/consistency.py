"""Whether the parts of a manifold file fit each other. Every check raises ManifoldRefused with a sentence that says what does not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import onnx
import torch
from torch import Tensor

from neumeta_core.architecture import Architecture
from neumeta_core.blocks import count_blocks
from neumeta_core.errors import AssemblyError, ManifoldRefused
from neumeta_core.inr import INR, InrSettings, MlpSettings
from neumeta_core.template import IR_VERSION, OPSET, hollow

_LEAST_TENSORS = 7
"""Of one block: a vector of kind ``factorised`` has no more, and an MLP of one layer has as many."""
_LAYER_TENSORS = 2
"""Of every further layer of an MLP."""


def check_count(architecture: Architecture, settings: InrSettings, count: int) -> None:
    """There are as many tensors as the INR has at least, so that building it costs no more than the file's size allows."""
    more = _LAYER_TENSORS * (settings.layers - 1) if isinstance(settings, MlpSettings) else 0
    least = count_blocks(architecture) * (_LEAST_TENSORS + more)
    if count < least:
        raise ManifoldRefused(f"the header does not fit the tensors: its INR has at least {least}, the file has {count}.")


def check_inr(inr: INR, tensors: Mapping[str, Tensor]) -> None:
    """The tensors are the INR's: names, shapes, fp16 or fp32, finite."""
    expected = inr.state_dict()
    missing, surplus = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing or surplus:
        raise ManifoldRefused(f"the header does not fit the tensors: missing {missing[:3]}, not expected {surplus[:3]}.")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise ManifoldRefused(f"inr.{name} has shape {list(tensor.shape)}; the header asks for {list(expected[name].shape)}.")
        if tensor.dtype not in (torch.float16, torch.float32):
            raise ManifoldRefused(f"inr.{name} has type {tensor.dtype}; expected fp16 or fp32.")
        if not torch.isfinite(tensor).all():
            raise ManifoldRefused(f"inr.{name} holds values that are not finite.")


def check_canary(inputs: Tensor | None, labels: Tensor | None, shape: tuple[int, ...]) -> None:
    """Both are there or none; inputs ``[n, *shape]`` in uint8 or finite fp32, labels ``[n, ...]`` in int64."""
    if inputs is None and labels is None:
        return
    if inputs is None or labels is None:
        raise ManifoldRefused("the file has only one of canary.inputs and canary.labels.")
    if tuple(inputs.shape[1:]) != shape or not labels.dim() or len(inputs) != len(labels):
        found = f"{list(inputs.shape)} and {list(labels.shape)}"
        raise ManifoldRefused(f"canary.inputs and canary.labels have shapes {found}; expected inputs of {list(shape)} and one label for each.")
    if inputs.dtype not in (torch.uint8, torch.float32) or labels.dtype != torch.int64:
        raise ManifoldRefused(f"canary.inputs and canary.labels have types {inputs.dtype} and {labels.dtype}; expected uint8 or fp32, and int64.")
    if not torch.isfinite(inputs).all():
        raise ManifoldRefused("canary.inputs holds values that are not finite.")


def check_template(template: bytes, architecture: Architecture, ends: tuple[str, str]) -> None:
    """The template is an ONNX model with the input and output ``ends``, of which every member can be made."""
    try:
        model = onnx.load_from_string(template)
    except Exception:
        raise ManifoldRefused("the template is no ONNX model.") from None
    opsets = {opset.domain: opset.version for opset in model.opset_import}
    if model.ir_version != IR_VERSION or opsets.get("") != OPSET:
        found = f"IR version {model.ir_version} and opset {opsets.get('')}"
        raise ManifoldRefused(f"the template has {found}; expected IR version {IR_VERSION} and opset {OPSET}.")
    _check_whole(model)
    _check_initializers(model.graph, architecture)
    if ([value.name for value in model.graph.input], [value.name for value in model.graph.output]) != ([ends[0]], [ends[1]]):
        raise ManifoldRefused(f"the template's only input and output must be {ends[0]} and {ends[1]}, as the header says.")
    _check_patches(model, architecture)
    _check_smallest(model, architecture)


def _check_whole(model: onnx.ModelProto) -> None:
    """No tensor has its values in another file: reading them would read a file of this host into what is served."""
    for tensor in _tensors(model):
        if tensor.external_data or tensor.data_location:
            raise ManifoldRefused(f"the template keeps values of {tensor.name or 'a tensor'} in another file.")


def _tensors(message: Any) -> Iterator[onnx.TensorProto]:
    """Every tensor in a protobuf message, however deep: by way of all fields that it has, so that no place is forgotten."""
    if isinstance(message, onnx.TensorProto):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in [value] if hasattr(value, "ListFields") else value:  # One message, or those of a repeated field.
                yield from _tensors(inner)


def _check_initializers(graph: onnx.GraphProto, architecture: Architecture) -> None:
    initializers = {initializer.name: initializer for initializer in graph.initializer}
    for parameter in architecture.parameters:
        expected, found = parameter.shape(architecture.full_widths), initializers.get(parameter.name)
        if found is None or tuple(found.dims) != expected:
            shape = None if found is None else tuple(found.dims)
            raise ManifoldRefused(f"the template holds {parameter.name} as {shape}; the header asks for {expected}.")
        if found.data_type != onnx.TensorProto.FLOAT or found.raw_data or found.float_data:
            raise ManifoldRefused(f"the template must hold {parameter.name} as fp32 without values.")


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


def _check_smallest(model: onnx.ModelProto, architecture: Architecture) -> None:
    """Check the smallest member, which shows a width that was left unpatched.

    Its weights come as inputs: with values, even zeros, a small file could ask for as much memory as it likes.
    """
    try:
        member = hollow(model, architecture, {group.name: group.minimum for group in architecture.groups})
        generated = [initializer for initializer in member.graph.initializer if initializer.name in architecture.by_name]
        for weight in generated:
            member.graph.initializer.remove(weight)
            member.graph.input.append(onnx.helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims))
        onnx.checker.check_model(member, full_check=True)
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise ManifoldRefused(f"the template makes no valid model at the smallest widths: {reason}") from None
