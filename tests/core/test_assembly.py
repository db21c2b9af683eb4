from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from neumeta_core.assembly import Artifact, assemble
from neumeta_core.budget import Budget
from neumeta_core.configuration import Configuration
from neumeta_core.errors import AssemblyError, InvalidField
from neumeta_core.inr import MlpSettings
from neumeta_core.manifold import Manifold
from neumeta_core.spec import Spec
from onnx import TensorProto, numpy_helper
from torch import Tensor

from tests import patched, tiny
from tests.surgery import with_template

MEMBERS = [
    *((tiny, {"conv1": one, "conv2": two}) for one, two in ((8, 12), (7, 5), (3, 11), (2, 3))),
    *((patched, {"a": one, "b": two}) for one, two in ((8, 5), (6, 3), (2, 1))),
]
PRECISIONS = ["fp32", "fp16", "int8"]


@pytest.fixture
def manifold_of(tiny_manifold: Manifold, patched_manifold: Manifold) -> Callable[[ModuleType], Manifold]:
    return lambda family: tiny_manifold if family is tiny else patched_manifold


def made(manifold: Manifold, member: Configuration, precision: str = "fp32") -> Artifact:
    return assemble(manifold, member, manifold.materialize(member), precision)


def run(data: bytes, inputs: Tensor) -> np.ndarray[Any, Any]:
    output: np.ndarray[Any, Any] = onnxruntime.InferenceSession(data).run(None, {"input": inputs.numpy()})[0]
    return output


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-4), ("fp16", 2e-3), ("int8", 3e-2)])
@pytest.mark.parametrize(("family", "widths"), MEMBERS)
def test_onnxruntime_computes_what_torch_computes(
    family: ModuleType, widths: dict[str, int], precision: str, tolerance: float, manifold_of: Callable[[ModuleType], Manifold]
) -> None:
    manifold = manifold_of(family)
    member = manifold.configure(widths=widths)
    weights = manifold.materialize(member)
    inputs = torch.randn(5, 1, family.SIDE, family.SIDE, generator=torch.Generator().manual_seed(0))
    expected = family.forward(weights, inputs).numpy()
    output = run(assemble(manifold, member, weights, precision).data, inputs)
    assert output.dtype == np.float32
    assert np.abs(expected).max() > 0.1
    assert np.abs(output - expected).max() <= tolerance * np.abs(expected).max()
    assert (np.abs(output - expected).max() > 1e-5) == (precision != "fp32")


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("family", "widths"), MEMBERS)
def test_artifacts_pass_the_full_check_and_are_one_file(
    family: ModuleType, widths: dict[str, int], precision: str, manifold_of: Callable[[ModuleType], Manifold]
) -> None:
    manifold = manifold_of(family)
    model = onnx.load_from_string(made(manifold, manifold.configure(widths=widths), precision).data)
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version == 8
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 17)]
    assert all(initializer.raw_data and not initializer.external_data for initializer in model.graph.initializer)


def test_a_device_reads_the_quality_of_the_precision_that_it_has(tiny_manifold: Manifold) -> None:
    manifold = tiny.with_quality_in(tiny_manifold, int8=-0.01)
    member = manifold.configure(0.5)
    session = onnxruntime.InferenceSession(made(manifold, member, "int8").data)
    quality = json.loads(session.get_modelmeta().custom_metadata_map["neumeta.quality"])
    assert quality == {"metric": "accuracy", "value": 0.79, "kind": "measured", "precision": "int8"}
    assert made(manifold, member, "fp16") == made(tiny_manifold, member, "fp16")


def test_frozen_weights_follow_the_precision_and_scales_do_not(patched_manifold: Manifold) -> None:
    model = onnx.load_from_string(made(patched_manifold, patched_manifold.configure(0.5), "fp16").data)
    types = {initializer.name: initializer.data_type for initializer in model.graph.initializer}
    assert types.pop("scales") == TensorProto.FLOAT
    assert set(types.values()) == {TensorProto.FLOAT16}
    assert "head.bias" in types


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_same_member_is_the_same_bytes(tiny_manifold: Manifold, tiny_bytes: bytes, precision: str) -> None:
    member = tiny_manifold.configure(0.3)
    first = made(tiny_manifold, member, precision)
    made(tiny_manifold, tiny_manifold.configure(0.6), precision)
    assert made(tiny_manifold, member, precision) == first
    assert made(Manifold.from_bytes(tiny_bytes), member, precision) == first
    assert len({made(tiny_manifold, tiny_manifold.configure(compression), precision).digest for compression in (0.0, 0.3, 0.6)}) == 3


def test_another_process_makes_the_same_bytes(tmp_path: Path) -> None:
    tiny.tiny_manifold(MlpSettings(layers=2, hidden=16)).save(tmp_path / "m.safetensors")
    script = """
import sys
from neumeta_core.assembly import assemble
from neumeta_core.manifold import Manifold
manifold = Manifold.load(sys.argv[1])
member = manifold.configure(0.4)
sys.stdout.write(assemble(manifold, member, manifold.materialize(member), "fp16").digest)
"""
    environment = os.environ | {"PYTHONHASHSEED": "12345"}
    command = [sys.executable, "-c", script, str(tmp_path / "m.safetensors")]
    there = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    manifold = Manifold.load(tmp_path / "m.safetensors")
    assert made(manifold, manifold.configure(0.4), "fp16").digest == there


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_device_can_read_what_it_has(tiny_manifold: Manifold, precision: str) -> None:
    member = tiny_manifold.configure(0.5)
    session = onnxruntime.InferenceSession(made(tiny_manifold, member, precision).data)
    meta = session.get_modelmeta()
    facts = meta.custom_metadata_map
    cost = tiny_manifold.cost(member, precision)
    assert (meta.producer_name, meta.domain, meta.version) == ("neumeta", "neumeta", 1)
    assert facts["neumeta.model"] == "tiny"
    assert facts["neumeta.manifold"] == tiny_manifold.digest
    assert facts["neumeta.spec"] == Spec.of(tiny_manifold, member, precision).digest
    assert json.loads(facts["neumeta.widths"]) == {"conv1": 4, "conv2": 6}
    assert facts["neumeta.precision"] == precision
    assert (int(facts["neumeta.params"]), int(facts["neumeta.macs"])) == (cost.params, cost.macs)
    assert json.loads(facts["neumeta.quality"]) == {"metric": "accuracy", "value": 0.8, "kind": "measured", "precision": "fp32"}
    assert json.loads(facts["neumeta.input"])["shape"] == [1, 8, 8]
    assert json.loads(facts["neumeta.labels"]) == ["zero", "one", "two"]
    assert [value.name for value in session.get_inputs()] == ["input"]
    assert session.get_inputs()[0].type == "tensor(float)"


def test_any_batch_size_runs(tiny_manifold: Manifold) -> None:
    data = made(tiny_manifold, tiny_manifold.configure(0.2)).data
    inputs = torch.randn(7, 1, 8, 8)
    assert np.allclose(run(data, inputs)[3:4], run(data, inputs[3:4]), atol=1e-5)


def broken(change: Callable[[dict[str, Tensor]], object], manifold: Manifold) -> dict[str, Tensor]:
    weights = manifold.materialize(manifold.configure(0.5))
    change(weights)
    return weights


@pytest.mark.parametrize(
    ("change", "precision", "sentence"),
    [
        (lambda weights: weights.pop("conv2.weight"), "fp32", "no values were made for the parameter conv2.weight"),
        (lambda weights: weights.update({"conv1.bias": torch.zeros(5)}), "fp32", "conv1.bias: float32"),
        (lambda weights: weights["conv1.bias"].fill_(torch.nan), "fp32", "conv1.bias has values that are not finite in fp32"),
        (lambda weights: weights["conv1.bias"].fill_(-torch.inf), "fp16", "conv1.bias has values that are not finite in fp16"),
        (lambda weights: weights["conv1.weight"].fill_(torch.nan), "int8", "conv1.weight has values that are not finite in int8"),
        (lambda weights: weights["conv1.bias"].fill_(torch.inf), "int8", "conv1.bias has values that are not finite in int8"),
        (lambda weights: weights.pop("conv2.weight"), "int8", "no values were made for the parameter conv2.weight/int8"),
        (lambda weights: weights.update({"conv1.weight": torch.zeros(5)}), "int8", "conv1.weight/int8: int8"),
    ],
)
def test_weights_that_are_missing_or_wrong_are_refused_by_name(
    tiny_manifold: Manifold, change: Callable[[dict[str, Tensor]], object], precision: str, sentence: str
) -> None:
    with pytest.raises(AssemblyError, match=sentence):
        assemble(tiny_manifold, tiny_manifold.configure(0.5), broken(change, tiny_manifold), precision)


def test_weights_that_fp16_cannot_hold_are_the_fault_of_who_asks_for_it(tiny_manifold: Manifold) -> None:
    weights = broken(lambda weights: weights["conv1.bias"].fill_(-65520.0), tiny_manifold)
    with pytest.raises(InvalidField, match=r"'conv1.bias' holds values beyond 65504, the largest of fp16") as refused:
        assemble(tiny_manifold, tiny_manifold.configure(0.5), weights, "fp16")
    assert (refused.value.code, refused.value.field, refused.value.value) == ("invalid_request", "precision", "fp16")
    assert isinstance(refused.value, AssemblyError), "who makes every precision goes on with the others"


def test_what_the_template_holds_and_fp16_cannot_is_such_a_fault_however_it_is_asked_for(tiny_bytes: bytes) -> None:
    def enlarge(model: onnx.ModelProto) -> None:
        (bias,) = [initializer for initializer in model.graph.initializer if initializer.name == "head.bias"]
        bias.CopyFrom(numpy_helper.from_array(np.float32([1, 2, 65600]), "head.bias"))

    manifold = Manifold.from_bytes(with_template(tiny_bytes, enlarge))
    member = manifold.configure(0.5)
    asked: list[Callable[[], object]] = [
        lambda: manifold.encoding_in("fp16"),
        lambda: manifold.cost(member, "fp16"),
        lambda: manifold.configure(budget=Budget(bytes=10**6), precision="fp16"),
        lambda: made(manifold, member, "fp16"),
    ]
    for ask in asked:
        with pytest.raises(InvalidField, match=r"'head.bias' holds values beyond 65504, the largest of fp16"):
            ask()
    for precision in ("fp32", "int8"):
        assert len(made(manifold, member, precision).data) == manifold.cost(member, precision).bytes


def test_what_fp16_cannot_hold_fp32_can(tiny_manifold: Manifold) -> None:
    weights = broken(lambda weights: weights["conv1.bias"].fill_(65520.0), tiny_manifold)
    onnx.checker.check_model(onnx.load_from_string(assemble(tiny_manifold, tiny_manifold.configure(0.5), weights).data))


def test_an_unknown_precision_is_an_error_that_names_it(tiny_manifold: Manifold) -> None:
    with pytest.raises(InvalidField, match="precision: 'int3' is not allowed"):
        made(tiny_manifold, tiny_manifold.configure(0.5), "int3")
