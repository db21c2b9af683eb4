from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from PIL import Image

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def classifier() -> bytes:
    """Ten class scores, class 3 the highest for any image."""
    pixels = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 1, 28, 28])
    scores = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])
    weights = onnx.numpy_helper.from_array(np.zeros((784, 10), dtype=np.float32), "weights")
    bias = onnx.numpy_helper.from_array(np.eye(10, dtype=np.float32)[3], "bias")
    nodes = [helper.make_node("Flatten", ["input"], ["flat"]), helper.make_node("Gemm", ["flat", "weights", "bias"], ["logits"])]
    graph = helper.make_graph(nodes, "classifier", [pixels], [scores], [weights, bias])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def test_the_code_in_the_readme_runs(service, cache, monkeypatch, capsys):
    service.make = lambda _: classifier()
    monkeypatch.setenv("NEUMETA_CLIENT_URL", service.url)
    monkeypatch.setenv("NEUMETA_CLIENT_CACHE", str(cache))
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert blocks
    exec("\n".join(blocks), {})
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].endswith(".onnx 17000 False")
    assert printed[1] == "3"
    assert printed[2:4] == ["0 60000 0.99", "0.5 17000 0.985"]


def test_the_commands_in_the_readme_run_in_order(run, service, monkeypatch, tmp_path):
    service.make = lambda _: classifier()
    Image.fromarray(np.zeros((28, 28), dtype=np.uint8)).save(tmp_path / "digit.png")
    monkeypatch.chdir(tmp_path)
    lines = re.findall(r"^neumeta-client .*", README, re.MULTILINE)
    assert len(lines) > 5
    for line in lines:
        code, _, err = run(*shlex.split(line, comments=True)[1:])
        assert code == 0, f"{line}: {err}"
