from __future__ import annotations

import os
import sys
from pathlib import Path

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


def test_a_session_runs_only_what_was_verified(artifact, classifier):
    artifact.path.write_bytes(classifier())
    with pytest.raises(IntegrityError, match="was changed"):
        artifact.session()
    artifact.path.unlink()
    with pytest.raises(CacheError, match=artifact.path.name):
        artifact.session()


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


@pytest.mark.parametrize("kind", [str, Path])
def test_save_into_a_folder_that_is_still_to_be_made(artifact, tmp_path, kind):
    assert artifact.save(f"{tmp_path}/new/") == tmp_path / "new" / artifact.manifest.filename
    assert artifact.save(kind(tmp_path / "new")) == tmp_path / "new" / artifact.manifest.filename


@pytest.mark.parametrize("is_there", [True, False])
def test_save_replaces_what_a_link_leads_to_and_not_the_link(artifact, tmp_path, is_there):
    link, there = tmp_path / "link.onnx", tmp_path / "folder" / "there.onnx"
    there.parent.mkdir()
    link.symlink_to("folder/there.onnx")
    if is_there:
        there.write_text("old")
    assert artifact.save(link) == link
    assert link.is_symlink()
    assert there.read_bytes() == artifact.path.read_bytes()
    assert sorted(path.name for path in there.parent.iterdir()) == ["there.onnx"]


def test_save_replaces_no_pipe_and_no_device(artifact, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / artifact.manifest.filename).mkdir()
    for target in ("pipe", "link", "loop", ""):
        with pytest.raises(CacheError, match=target or artifact.manifest.filename):
            artifact.save(tmp_path / target)
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "loop").is_symlink()


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
