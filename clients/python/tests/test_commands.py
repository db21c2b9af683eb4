"""The commands that do something with what was pulled."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
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


@pytest.mark.parametrize("group", ["\x1b]0;owned\x07conv1", "\ud800conv1", "conv1\r\n"], ids=ascii)
def test_what_the_service_named_cannot_control_the_terminal_of_verify(run, service, group):
    widths = {group: 16, **{f"a_long_name_{layer}": 16 for layer in range(50)}}
    service.manifest_changes = {"spec": {"model": "m", "version": 1, "manifold": "", "widths": widths, "precision": "fp32", "opset": 17}}
    code, out, _ = run("verify", run(*PULL)[1].strip())
    assert (code, out.rstrip("\n").isprintable(), "conv1 16" in " ".join(out.split())) == (0, True, True)
    assert out.endswith("no signature was verified\n")


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


@pytest.fixture
def in_a_terminal(environment):
    """Of so many columns."""

    def widen(columns: int) -> None:
        environment.setenv("FORCE_COLOR", "1")
        environment.setenv("COLUMNS", str(columns))

    return widen


def cells(out: str, column: int) -> str:
    """What a table has in a column below its heading, put together from all lines."""
    return "".join(line.split("│")[column + 1].strip() for line in out.splitlines() if line.count("│") > column + 1)


def test_names_that_begin_alike_do_not_look_alike_in_a_terminal(run, cache, in_a_terminal):
    run(*PULL)
    (path,) = cache.rglob("*.onnx")
    for number in (10, 100):
        name = f"cifar{number}-{'x' * 40}"
        (cache / "refs" / name).mkdir(parents=True)
        (cache / "refs" / name / "0.json").write_text(json.dumps({"digest": f"sha256:{path.stem}", "version": 1}))
    in_a_terminal(60)
    code, out, _ = run("cache", "ls")
    assert (code, "…" in out) == (0, False)
    assert max(len(line) for line in out.splitlines() if "│" in line) == 60
    shown = "".join(cells(out, 1).split())
    assert all(f"cifar{number}-{'x' * 40}/1" in shown for number in (10, 100))


def test_a_long_path_leaves_room_for_what_a_picture_is(run, service, classifier, in_a_terminal, tmp_path):
    service.make = lambda _: classifier()
    path = tmp_path / f"{'digit' * 30}.png"
    Image.new("L", (28, 28)).save(path)
    in_a_terminal(80)
    code, out, _ = run("run", "lenet-mnist", str(path), "--top", "1")
    assert (code, "3 23.2 %" in out, cells(out, 0).endswith(str(path))) == (0, True, True)


def test_in_a_pipe_a_line_is_as_long_as_it_has_to_be(run, service, classifier, environment, tmp_path):
    service.make = lambda _: classifier()
    environment.setenv("COLUMNS", "40")
    path = tmp_path / f"{'digit' * 30}.png"
    Image.new("L", (28, 28)).save(path)
    assert re.search(f"│ {path} +│ 3 23.2 % +│", run("run", "lenet-mnist", str(path), "--top", "1")[1])
    assert len({len(line) for line in run("curve", "lenet-mnist")[1].splitlines()}) == 1


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_curve_has_bars_where_there_are_no_blocks(environment, encoding):
    environment.setenv("PYTHONIOENCODING", encoding)
    command = [sys.executable, "-m", "neumeta_client", "curve", "lenet-mnist"]
    done = subprocess.run(command, capture_output=True, text=True, encoding=encoding, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"\| #{15} +\|\n.*\| # +\|\n", done.stdout)


def test_a_model_without_a_curve_is_drawn_without_a_warning(run, service, tmp_path):
    nothing = {"model": "lenet-mnist", "version": 1, "metric": None, "split": None, "samples": None, "points": []}
    service.on("curve", service.reply(200, "application/json", json.dumps(nothing).encode()))
    assert run("curve", "lenet-mnist", "--png", str(tmp_path / "curve.png"))[0] == 0
    with Image.open(tmp_path / "curve.png") as drawn:
        assert drawn.format == "PNG"


def test_a_device_of_no_name_is_refused_before_anything_is_measured(run, service):
    code, out, err = run("bench", "lenet-mnist", "--publish", "Pi 4")
    assert (code, out, "device: 'Pi 4' is not allowed" in err) == (2, "", True)
    assert service.requests == []


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


@pytest.mark.parametrize("kind", ["PNG", "AVIF"])
def test_run_refuses_a_picture_that_is_damaged(run, service, classifier, tmp_path, kind):
    if f".{kind.lower()}" not in Image.registered_extensions():
        pytest.skip("this Pillow reads no AVIF")
    service.make = lambda _: classifier()
    path = tmp_path / "damaged"
    Image.new("RGB", (8, 8)).save(path, kind)
    data = bytearray(path.read_bytes())
    if kind == "PNG":
        data[36] = 6  # The length of the pixels.
    path.write_bytes(data if kind == "PNG" else data[:-20])
    code, out, err = run("run", "lenet-mnist", str(path))
    assert (code, out, "damaged cannot be read as an image" in err) == (2, "", True)


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
