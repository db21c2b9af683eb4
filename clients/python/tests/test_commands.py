"""The commands that do something with what was pulled."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

PULL = ("pull", "lenet-mnist", "--compression", "0.5")


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "three.png"
    Image.fromarray(np.arange(40 * 30, dtype=np.uint32).astype(np.uint8).reshape(40, 30)).save(path)
    return path


def test_verify_says_what_a_file_is(run, tmp_path):
    run(*PULL, "--output", str(tmp_path / "small.onnx"))
    code, out, _ = run("verify", str(tmp_path / "small.onnx"))
    assert code == 0
    assert "lenet-mnist 1 in fp32, conv1 16" in out
    assert "no signature was verified" in out
    assert json.loads(run("verify", str(tmp_path / "small.onnx"), "--json")[1])["manifest"]["spec"]["widths"] == {"conv1": 16}


def test_verify_refuses_a_file_that_was_changed(run, tmp_path):
    run(*PULL, "--output", str(tmp_path / "small.onnx"))
    data = bytearray((tmp_path / "small.onnx").read_bytes())
    data[1000] ^= 1
    (tmp_path / "small.onnx").write_bytes(data)
    code, out, err = run("verify", str(tmp_path / "small.onnx"))
    assert (code, out) == (3, "")
    assert "no manifest" in err


def test_verify_says_signed_only_when_a_signature_was_verified(run, environment, tmp_path):
    environment.setenv("NEUMETA_CLIENT_TRUST_ROOT", "")
    file = str(tmp_path / "small.onnx")
    run(*PULL, "--output", file)
    assert json.loads(run("verify", file, "--json")[1])["signed"] is False
    code, out, err = run("verify", file, "--json", "--trust-root", "")
    assert (code, out, "trust_root: '' is not allowed" in err) == (2, "", True)


def test_verify_of_no_file(run, tmp_path):
    assert run("verify", str(tmp_path / "missing.onnx"))[0] == 1


def test_cache_ls_lists_what_was_pulled(run, files):
    run(*PULL)
    _, out, _ = run("cache", "ls")
    assert "lenet-mnist/1" in out
    assert "262,144 bytes" in out
    document = json.loads(run("cache", "ls", "--json")[1])
    assert document["bytes"] == 262144
    (entry,) = document["entries"]
    assert (entry["models"], entry["finished"]) == (["lenet-mnist/1"], True)
    assert entry["path"].endswith(files()[0])


def test_cache_gc_keeps_what_was_used_last(run, cache):
    for compression, age in (("0.1", 300), ("0.2", 200), ("0.3", 100)):
        path = Path(run("pull", "lenet-mnist", "--compression", compression)[1].strip())
        os.utime(path, (time.time() - age, path.stat().st_mtime))
    code, out, _ = run("cache", "gc", "--limit", "300kB")
    assert (code, out.split(";")[0]) == (0, "2 files removed, 524,288 bytes freed")
    assert list(cache.rglob("*.onnx")) == [path]
    document = json.loads(run("cache", "gc", "--limit", "0", "--json")[1])
    assert (document["freed"], document["bytes"]) == (262144, 0)


@pytest.mark.parametrize("limit", ["-1", "much", "1TB", "1.5.5GB", ""])
def test_a_limit_that_is_none(run, limit):
    code, _, err = run("cache", "gc", "--limit", limit)
    assert (code, "--limit" in err) == (2, True)


@pytest.mark.parametrize(("text", "kept"), [("600000", 2), ("600kB", 2), ("0.3MB", 1), ("1GB", 3)])
def test_a_limit_may_have_a_unit(run, cache, text, kept):
    for compression in ("0.1", "0.2", "0.3"):
        run("pull", "lenet-mnist", "--compression", compression)
    run("cache", "gc", "--limit", text)
    assert len(list(cache.rglob("*.onnx"))) == kept


def test_run_classifies_pictures(run, service, classifier, picture):
    service.make = lambda _: classifier()
    code, out, _ = run("run", "lenet-mnist", str(picture), "--top", "2")
    assert code == 0
    assert "3 23.2 %" in out
    (found,) = json.loads(run("run", "lenet-mnist", str(picture), "--compression", "0.5", "--json")[1])
    assert [label["name"] for label in found["labels"]] == ["3", "0", "1"]
    assert found["labels"][0]["probability"] == pytest.approx(np.e / (np.e + 9))
    assert json.loads(service.requests[0][3])["compression"] == 0


def test_run_refuses_what_is_no_picture(run, service, classifier, tmp_path):
    service.make = lambda _: classifier()
    (tmp_path / "text.png").write_text("no picture")
    code, out, err = run("run", "lenet-mnist", str(tmp_path / "text.png"))
    assert (code, out, "text.png" in err) == (2, "", True)


def test_a_pull_offline_takes_what_is_there(run, service):
    path = run(*PULL)[1]
    sent = len(service.requests)
    code, out, err = run(*PULL, "--offline")
    assert (code, out, "perhaps not the latest" in err) == (0, path, True)
    assert len(service.requests) == sent
    assert run("pull", "lenet-mnist", "--compression", "0.25", "--offline")[0] == 1


def test_a_rung_and_a_latency_go_over_the_wire(run, service):
    run("pull", "lenet-mnist", "--rung", "small")
    run("pull", "lenet-mnist", "--budget", "latency_ms=4.5", "--budget", "device=pi4")
    bodies = [json.loads(body) for method, _, _, body in service.requests if method == "POST"]
    assert bodies == [{"rung": "small", "precision": "fp32"}, {"budget": {"latency_ms": 4.5, "device": "pi4"}, "precision": "fp32"}]


def test_a_curve_is_drawn(run, tmp_path):
    code, out, _ = run("curve", "lenet-mnist", "--png", str(tmp_path / "curve.png"))
    assert code == 0
    assert "█" in out
    with Image.open(tmp_path / "curve.png") as drawn:
        assert drawn.format == "PNG"
        assert min(drawn.size) > 300
    assert run("curve", "lenet-mnist", "--png", str(tmp_path / "missing" / "curve.png"))[0] == 1


@pytest.mark.parametrize("invert", [False, True])
def test_the_picture_reaches_the_network(run, service, tmp_path, invert):
    """A network that answers with the class of the brightest tenth of the picture."""
    service.make = lambda _: brightest_tenth()
    pixels = np.zeros((28, 28), dtype=np.uint8)
    pixels.reshape(-1)[78 * 4 : 78 * 5] = 255
    Image.fromarray(255 - pixels if invert else pixels).save(tmp_path / "four.png")
    arguments = ["--invert"] if invert else []
    (found,) = json.loads(run("run", "lenet-mnist", str(tmp_path / "four.png"), "--json", *arguments)[1])
    assert found["labels"][0]["name"] == "4"
    assert found["labels"][0]["probability"] > 0.99


def test_a_picture_is_turned_as_its_exif_data_say(run, service, tmp_path):
    service.make = lambda _: brightest_tenth()
    pixels = np.zeros((28, 28), dtype=np.uint8)
    pixels.reshape(-1)[78 * 4 : 78 * 5] = 255
    upside_down = Image.Exif()
    upside_down[0x0112] = 3
    Image.fromarray(pixels[::-1, ::-1].copy()).save(tmp_path / "four.png", exif=upside_down)
    (found,) = json.loads(run("run", "lenet-mnist", str(tmp_path / "four.png"), "--json")[1])
    assert found["labels"][0]["name"] == "4"


@pytest.mark.parametrize("mode", ["RGBA", "LA", "L", "P"])
def test_what_is_transparent_is_white(run, service, tmp_path, mode):
    service.make = lambda _: brightest_tenth()
    pixels = np.full((28, 28), 7, dtype=np.uint8)
    pixels.reshape(-1)[78 * 4 : 78 * 5] = 0
    picture = Image.fromarray(pixels)
    if mode.endswith("A"):
        alpha = Image.fromarray(np.where(pixels == 0, 0, 255).astype(np.uint8))
        Image.merge(mode, [*[picture] * (len(mode) - 1), alpha]).save(tmp_path / "four.png")
    else:
        picture.convert(mode).save(tmp_path / "four.png", transparency=0)
    (found,) = json.loads(run("run", "lenet-mnist", str(tmp_path / "four.png"), "--json")[1])
    assert found["labels"][0]["name"] == "4"


def brightest_tenth() -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    pixels = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 1, 28, 28])
    scores = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])
    weights = np.zeros((784, 10), dtype=np.float32)
    for tenth in range(10):
        weights[78 * tenth : 78 * (tenth + 1), tenth] = 1
    nodes = [helper.make_node("Flatten", ["input"], ["flat"]), helper.make_node("MatMul", ["flat", "weights"], ["logits"])]
    graph = helper.make_graph(nodes, "tenths", [pixels], [scores], [numpy_helper.from_array(weights, "weights")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
