from __future__ import annotations

import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from neumeta_client import CacheError, IntegrityError, MissingExtra, NeuMetaClientError


def doubling_model() -> bytes:
    node = helper.make_node("Add", ["input", "input"], ["logits"])
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 1, 28, 28]) for name in ("input", "logits")]
    model = helper.make_model(helper.make_graph([node], "doubling", value[:1], value[1:]), opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


@pytest.fixture
def artifact(client, service):
    data = doubling_model()
    service.make = lambda _: data
    return client.pull("lenet-mnist", compression=0.5)


def test_a_session_runs_the_network(artifact):
    inputs = np.arange(784, dtype=np.float32).reshape(1, 1, 28, 28)
    session = artifact.session(providers=["CPUExecutionProvider"])
    (logits,) = session.run([artifact.manifest.output.name], {artifact.manifest.input.name: inputs})
    np.testing.assert_array_equal(logits, 2 * inputs)


def test_without_onnxruntime_the_extra_is_named(artifact, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtra, match=r"neumeta-client\[run\]") as caught:
        artifact.session()
    assert isinstance(caught.value, NeuMetaClientError)
    assert isinstance(caught.value, ImportError)


def test_save_copies_to_a_file(artifact, tmp_path):
    target = tmp_path / "new" / "small.onnx"
    assert artifact.save(target) == target
    assert target.read_bytes() == artifact.path.read_bytes()
    assert [path.name for path in target.parent.iterdir()] == ["small.onnx"]


def test_save_into_a_folder_takes_the_name_of_the_manifest(artifact, tmp_path):
    assert artifact.save(tmp_path) == tmp_path / artifact.manifest.filename


def test_save_replaces_only_by_what_verifies(artifact, tmp_path):
    target = tmp_path / "small.onnx"
    target.write_text("old")
    artifact.path.write_bytes(b"x" * artifact.manifest.size)
    with pytest.raises(IntegrityError):
        artifact.save(target)
    artifact.path.unlink()
    with pytest.raises(CacheError):
        artifact.save(target)
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["small.onnx"]
