"""The template of a network: exported once to ONNX, emptied of generated weights, and proved against the network."""

from __future__ import annotations

import copy
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from neumeta_core.architecture import Architecture, ChannelGroup, Patch, Widths
from neumeta_core.errors import TemplateError
from neumeta_core.template import IR_VERSION, OPSET, fill
from torch import Tensor, nn
from torch.jit._trace import TracerWarning

from neumeta_trainer.export.patches import Export, find_patches
from neumeta_trainer.structure.layers import perturbed
from neumeta_trainer.structure.resize import resized, sliced

_TOLERANCE = 1e-4
_DRAWS = 100


def make_template(
    network: nn.Module, architecture: Architecture, example: Tensor, *, input_name: str = "input", output_name: str = "logits"
) -> tuple[bytes, tuple[Patch, ...]]:
    """Export a fused network: (ONNX bytes at full widths without the values of generated parameters, its patches).

    The result was proved: at the full, the smallest and a non-uniform configuration the filled template agrees with the
    network within 1e-4 of the size of its output. Raises TemplateError when it cannot be, and names the node.
    """
    exporter = _Exporter(copy.deepcopy(network).cpu().eval(), architecture, example.cpu(), input_name, output_name)
    exports = [exporter.export(widths) for widths in _telling_widths(architecture)]
    template = _emptied(exports[0].model, exports, architecture)
    patches = find_patches(exports, architecture)
    patched = architecture.model_copy(update={"patches": patches})
    generator = torch.Generator().manual_seed(1)
    for widths in (
        architecture.full_widths,
        architecture.smallest_widths,
        {group.name: _any_width(group, generator) for group in architecture.groups},
    ):
        exporter.prove(template, patched, widths)
    return template.SerializeToString(deterministic=True), patches


class _Exporter:
    """Exports a network at any widths, with perturbed values (the exporter merges initializers of equal values)."""

    def __init__(self, network: nn.Module, architecture: Architecture, example: Tensor, input_name: str, output_name: str) -> None:
        self._network, self._architecture, self._example = network, architecture, example
        self._names = (input_name, output_name)
        generated = {name: tensor for name, tensor in network.state_dict().items() if name in architecture.by_name}
        self._values = perturbed(generated, torch.Generator().manual_seed(0))

    def member(self, widths: Widths) -> tuple[nn.Module, dict[str, Tensor]]:
        """The network at these widths, and its generated tensors."""
        values = sliced(self._architecture, self._values, widths)
        return resized(self._network, self._architecture, widths, values), values

    def export(self, widths: Widths) -> Export:
        """The graph at these widths, without names of tools, texts and inferred shapes."""
        input_name, output_name = self._names
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            path = Path(folder) / "member.onnx"
            # The exporter that traces TorchScript keeps the names of parameters. It announces its own deprecation, and warns of
            # values that it turns into constants: those are compared between widths, and the template is proved.
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", TracerWarning)
            warnings.filterwarnings("ignore", "Constant folding", UserWarning)  # said although it is off
            try:
                torch.onnx.export(
                    self.member(widths)[0],
                    (self._example,),
                    path,
                    dynamo=False,
                    opset_version=OPSET,
                    do_constant_folding=False,
                    input_names=[input_name],
                    output_names=[output_name],
                    dynamic_axes={input_name: {0: "batch"}, output_name: {0: "batch"}},
                )
            except (torch.onnx.OnnxExporterError, RuntimeError) as error:
                raise TemplateError(f"{type(self._network).__name__} cannot be exported to ONNX opset {OPSET}: {error}") from error
            return Export(widths, _stripped(onnx.load(path)))

    def prove(self, template: onnx.ModelProto, architecture: Architecture, widths: Widths) -> None:
        """Raise TemplateError unless the filled template computes what the network computes."""
        network, values = self.member(widths)
        inputs = torch.randn((len(self._example) + 1, *self._example.shape[1:]), generator=torch.Generator().manual_seed(2))
        with torch.no_grad():
            expected = network(inputs).numpy()
        try:
            model = fill(template, architecture, widths, {name: value.numpy() for name, value in values.items()})
            onnx.checker.check_model(model, full_check=True)
            outputs = _run(model, inputs.numpy())
        except Exception as error:
            raise TemplateError(f"at {dict(widths)} and a batch of {len(inputs)} the filled template does not run: {error}") from error
        if outputs.shape != expected.shape or not np.abs(outputs - expected).max() <= _TOLERANCE * np.abs(expected).max():
            raise TemplateError(
                f"at {dict(widths)} and a batch of {len(inputs)} the filled template does not compute what the network computes; "
                "the network must not depend on the batch size or on values in a way that the export freezes."
            )


def _run(model: onnx.ModelProto, inputs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # an error is raised as well
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    outputs: np.ndarray[Any, Any] = session.run(None, {session.get_inputs()[0].name: inputs})[0]
    return outputs


def _stripped(model: onnx.ModelProto) -> onnx.ModelProto:
    """Without producer, texts and inferred shapes, all of which would be wrong or useless at other widths."""
    for field in ("producer_name", "producer_version", "domain", "model_version", "doc_string", "metadata_props"):
        model.ClearField(field)
    for field in ("value_info", "doc_string", "metadata_props"):
        model.graph.ClearField(field)
    for node in model.graph.node:
        node.ClearField("doc_string")
        node.ClearField("metadata_props")
    if model.ir_version != IR_VERSION:
        raise TemplateError(f"the export has IR version {model.ir_version}; expected {IR_VERSION}.")
    return model


def _emptied(full: onnx.ModelProto, exports: list[Export], architecture: Architecture) -> onnx.ModelProto:
    """The full export with the values of generated initializers taken out; dimensions stay."""
    _check_initializers(exports, architecture)
    template = onnx.ModelProto()
    template.CopyFrom(full)
    for initializer in template.graph.initializer:
        if initializer.name in architecture.by_name:
            initializer.ClearField("raw_data")
    return template


def _check_initializers(exports: list[Export], architecture: Architecture) -> None:
    """Generated initializers must have the shapes of the architecture, all others must be the same in all exports."""
    first = {tensor.name: tensor for tensor in exports[0].model.graph.initializer}
    if missing := architecture.by_name.keys() - first.keys():
        raise TemplateError(f"the exported graph has no initializers {', '.join(sorted(missing))}; the exporter folded them or nothing uses them.")
    for export in exports:
        found = {tensor.name: tensor for tensor in export.model.graph.initializer}
        if found.keys() != first.keys():
            raise TemplateError(f"initializers {', '.join(sorted(found.keys() ^ first.keys()))} exist at some widths only.")
        for name, tensor in found.items():
            parameter = architecture.by_name.get(name)
            if parameter is None and tensor.SerializeToString() != first[name].SerializeToString():
                raise TemplateError(f"initializer {name} is not generated and yet differs at {dict(export.widths)}.")
            if parameter is not None and tuple(tensor.dims) != parameter.shape(export.widths):
                expected = parameter.shape(export.widths)
                raise TemplateError(f"initializer {name} has the shape {tuple(tensor.dims)} at {dict(export.widths)}; expected {expected}.")


def _telling_widths(architecture: Architecture) -> list[dict[str, int]]:
    """The full widths and two others, the best of many draws, and more until a number that differs tells which group it comes from."""
    generator = torch.Generator().manual_seed(0)

    def drawn() -> dict[str, int]:
        return {group.name: _any_width(group, generator) for group in architecture.groups}

    chosen = max(([architecture.full_widths, drawn(), drawn()] for _ in range(_DRAWS)), key=_told_apart)
    while _told_apart(chosen) < sum(group.minimum < group.full for group in architecture.groups):
        more = max(([*chosen, drawn()] for _ in range(_DRAWS)), key=_told_apart)
        if _told_apart(more) == _told_apart(chosen):
            break
        chosen = more
    return chosen


def _told_apart(draw: list[dict[str, int]]) -> int:
    """Groups that change, each in its own way: those whose widths are multiples of each other count as one."""
    ways = {tuple(widths[group] / full for widths in draw) for group, full in draw[0].items()}
    return len(ways - {(1.0,) * len(draw)})


def _any_width(group: ChannelGroup, generator: torch.Generator) -> int:
    steps = (group.full - group.minimum) // group.granularity
    return group.minimum + group.granularity * int(torch.randint(steps + 1, (), generator=generator))
