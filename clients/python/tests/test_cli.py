from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import typer

# A shell that starts the tests in the background lets its children ignore interrupts.
MAIN = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from neumeta_client.__main__ import main; main()"


pytestmark = pytest.mark.usefixtures("environment")


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", MAIN, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8")


def test_pull_prints_the_path(run, service):
    code, out, err = run("pull", "lenet-mnist", "--compression", "0.5")
    assert code == 0
    assert Path(out.strip()).read_bytes() == service.make({"compression": 0.5, "precision": "fp32"})
    assert "17,000 parameters" in err
    assert "downloaded" in err
    assert "from the cache" in run("pull", "lenet-mnist", "--compression", "0.5")[2]


def test_nothing_of_a_bar_is_left_beside_the_result(run, monkeypatch):
    @contextmanager
    def bar():
        yield None
        typer.echo("the bar is gone")

    monkeypatch.setattr(sys.modules["neumeta_client.cli.pull"], "download_bar", bar)
    assert run("pull", "lenet-mnist", "--compression", "0.5")[1].splitlines()[0] == "the bar is gone"


def test_pull_says_which_precision_was_measured(run):
    assert "accuracy 0.991 (measured);" in run("pull", "lenet-mnist", "--compression", "0.5")[2]
    assert "accuracy 0.991 (measured in fp32);" in run("pull", "lenet-mnist", "--compression", "0.5", "--precision", "int8")[2]


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        (["--compression", "0.5", "--precision", "fp16"], {"compression": 0.5, "precision": "fp16"}),
        (["--compression", "0.5", "--precision", "int8"], {"compression": 0.5, "precision": "int8"}),
        (["--compression", "0.5", "--model-version", "stable"], {"compression": 0.5, "precision": "fp32", "version": "stable"}),
        (["--compression", "0.5", "--model-version", "1"], {"compression": 0.5, "precision": "fp32", "version": "1"}),
        (["--width", "conv1=8", "--width", "conv2=16"], {"widths": {"conv1": 8, "conv2": 16}, "precision": "fp32"}),
        (["--budget", "params=9000", "--budget", "bytes=90000"], {"budget": {"params": 9000, "bytes": 90000}, "precision": "fp32"}),
        (["--budget", "latency_ms=4.5", "--budget", "device=pi4"], {"budget": {"latency_ms": 4.5, "device": "pi4"}, "precision": "fp32"}),
    ],
)
def test_pull_asks_for_what_was_said(run, service, arguments, body):
    assert run("pull", "lenet-mnist", *arguments)[0] == 0
    assert json.loads(service.requests[0][3]) == body


def test_pull_as_json_with_output(run, tmp_path):
    target = tmp_path / "small.onnx"
    code, out, err = run("pull", "lenet-mnist", "--compression", "0.5", "--output", str(target), "--json")
    printed = json.loads(out)
    assert (code, err, printed["path"], printed["from_cache"]) == (0, "", str(target), False)
    assert printed["manifest"]["size"] == target.stat().st_size


def test_output_that_ends_in_a_slash_is_a_folder(run, tmp_path):
    code, out, _ = run("pull", "lenet-mnist", "--compression", "0.5", "--output", f"{tmp_path}/new/")
    assert (code, Path(out.strip()).parent, Path(out.strip()).suffix) == (0, tmp_path / "new", ".onnx")
    assert Path(out.strip()).stat().st_size == 262_144


def test_output_to_a_pipe_is_one_sentence(run, tmp_path):
    """As to /dev/null, which a test that fails must not replace."""
    os.mkfifo(tmp_path / "pipe")
    code, out, err = run("pull", "lenet-mnist", "--compression", "0.5", "--output", str(tmp_path / "pipe"))
    assert (code, out, err.count("\n"), "pipe is no regular file" in err) == (1, "", 1, True)


def test_models(run):
    code, out, _ = run("models")
    assert code == 0
    assert "lenet-mnist" in out
    assert "The file ends after 10 bytes." in out
    assert [model["state"] for model in json.loads(run("models", "--json")[1])] == ["ready", "refused"]


def test_curve(run):
    code, out, _ = run("curve", "lenet-mnist")
    assert code == 0
    assert [word for word in ("compression", "accuracy", "0.500", "0.9850", "0.9800", "60,000", "held out") if word not in out] == []
    assert json.loads(run("curve", "lenet-mnist", "--json")[1])["points"][1]["compression"] == 0.5


@pytest.mark.usefixtures("millisecond_calls")
def test_autofit_prints_the_path_alone(run, service, classifier):
    service.make = lambda _: classifier()
    code, out, err = run("autofit", "lenet-mnist", "--latency-ms", "1.5", "--threads", "1")
    assert code == 0
    assert Path(out.strip()).read_bytes() == classifier()
    assert [word for word in ("compression", "0.000", "17,000", "0.9910", "1.000", "yes", "threads: 1", "takes 1 ms (p95)") if word not in err] == []


@pytest.mark.usefixtures("millisecond_calls")
def test_autofit_as_json_with_output(run, service, classifier, tmp_path):
    service.make = lambda _: classifier()
    target = tmp_path / "best.onnx"
    code, out, _ = run("autofit", "lenet-mnist", "--latency-ms", "1.5", "--metric", "p50", "--output", str(target), "--json")
    printed = json.loads(out)
    assert (code, printed["path"], printed["latency_ms"]) == (0, str(target), pytest.approx(1))
    assert (printed["report"]["goal"]["metric"], printed["report"]["candidates"][0]["fits"]) == ("p50", True)
    assert target.read_bytes() == classifier()


@pytest.mark.usefixtures("millisecond_calls")
def test_autofit_that_cannot_be_exits_with_2_and_says_how_fast_it_got(run, service, classifier):
    service.make = lambda _: classifier()
    code, out, err = run("autofit", "lenet-mnist", "--latency-ms", "0.5")
    assert (code, out) == (2, "")
    assert "latency_ms 0.5 on this device; the lowest latency reached is 1 ms by p95." in err.splitlines()[-1]


def test_a_network_that_does_not_run_exits_with_1(run):
    code, out, err = run("autofit", "lenet-mnist", "--latency-ms", "4")
    assert (code, out) == (1, "")
    assert "does not run in onnxruntime on this device" in err
    assert "Traceback" not in err


@pytest.mark.usefixtures("millisecond_calls")
def test_bench_shows_a_line_for_each_size(run, service, classifier):
    service.make = lambda _: classifier()
    code, out, err = run("bench", "lenet-mnist", "--points", "3", "--threads", "1")
    assert code == 0
    assert [word for word in ("compression", "0.000", "0.500", "0.750", "17,000", "1.000", "████") if word not in out] == []
    assert "lenet-mnist 1 in fp32 on" in err
    assert service.count("profile") == 0


@pytest.mark.usefixtures("millisecond_calls")
def test_bench_publishes_what_it_prints(run, service, classifier):
    service.make = lambda _: classifier()
    code, out, err = run("bench", "lenet-mnist", "--points", "3", "--publish", "pi4", "--json")
    assert code == 0
    assert [point["compression"] for point in json.loads(out)["points"]] == [0, 0.5, 0.75]
    assert service.requests[-1][1] == "/v1/models/lenet-mnist/profiles/pi4"
    assert "device=pi4" in err


def test_an_interrupted_measurement_exits_with_130(service, classifier, files):
    service.make = lambda _: classifier()
    service.on("artifact", service.stall)
    process = start("bench", "lenet-mnist")
    assert service.stalled.wait(300)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err
    assert files() == []


def test_text_of_the_service_is_shown_as_it_is(run, service):
    model = {"name": "[red]x", "version": 1, "state": "ready", "reason": "\x1b[31m[/nothing]"}
    service.on("models", service.reply(200, "application/json", json.dumps({"models": [model]}).encode()))
    code, out, _ = run("models")
    assert code == 0
    assert "[red]x" in out
    assert "[/nothing]" in out
    assert "\x1b" not in out


@pytest.mark.parametrize(
    "arguments",
    [
        ["pull"],
        ["pull", "lenet-mnist"],
        ["pull", "lenet-mnist", "--compression", "0.5", "--budget", "params=9"],
        ["pull", "lenet-mnist", "--compression", "half"],
        ["pull", "lenet-mnist", "--width", "conv1"],
        ["pull", "lenet-mnist", "--width", "conv1=8", "--width", "conv1=9"],
        ["pull", "lenet-mnist", "--budget", "params=-3"],
        ["pull", "lenet-mnist", "--budget", f"bytes={'9' * 5000}"],
        ["pull", "lenet-mnist", "--width", f"conv1={'9' * 5000}"],
        ["pull", "lenet-mnist", "--budget", "latency_ms=fast", "--budget", "device=pi4"],
        ["pull", "lenet-mnist", "--budget", "latency_ms=nan", "--budget", "device=pi4"],
        ["pull", "lenet-mnist", "--budget", "latency_ms=4", "--budget", "device="],
        ["pull", "lenet-mnist", "--budget", "latency_ms=4", "--budget", "device=pi4", "--budget", "device=pi5"],
        ["autofit", "lenet-mnist"],
        ["autofit", "lenet-mnist", "--latency-ms", "0"],
        ["autofit", "lenet-mnist", "--latency-ms", "4", "--metric", "mean"],
        ["autofit", "lenet-mnist", "--latency-ms", "4", "--threads", "0"],
        ["bench", "lenet-mnist", "--points", "1"],
        ["bench", "lenet-mnist", "--metric", "mean"],
        ["pull", "../evil", "--compression", "0.5"],
        ["models", "--url", "nonsense"],
        ["models", "--url", "http://foo..bar:8080"],
        ["models", "--nonsense"],
        ["nonsense"],
    ],
)
def test_wrong_usage_exits_with_2(run, service, arguments):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err
    assert "Traceback" not in err
    assert service.requests == []


@pytest.mark.parametrize(
    ("code", "status", "expected"), [("invalid_request", 422, 2), ("model_not_found", 404, 2), ("model_refused", 503, 1), ("internal_error", 500, 1)]
)
def test_an_error_is_one_sentence_with_its_exit_code(run, service, code, status, expected):
    service.on("materialize", service.problem(code, status))
    assert run("pull", "lenet-mnist", "--compression", "0.5") == (expected, "", f"neumeta-client: It is {code}. (request r1)\n")


def test_no_service_exits_with_1(run):
    code, out, err = run("models", "--url", "http://127.0.0.1:1")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "http://127.0.0.1:1" in err


def test_wrong_bytes_exit_with_3(run, service, files):
    service.on("artifact", service.wrong, service.wrong)
    code, out, err = run("pull", "lenet-mnist", "--compression", "0.5")
    assert (code, out, err.count("\n")) == (3, "", 1)
    assert files() == []


def test_a_process_of_its_own(files):
    process = start("pull", "lenet-mnist", "--compression", "0.5")
    out, err = process.communicate(timeout=300)
    assert (process.returncode, err.count("\n")) == (0, 1)
    assert out.strip().endswith(files()[0])


def test_an_interrupt_exits_with_130_and_the_next_pull_goes_on(run, service, cache, files):
    service.on("artifact", service.stall)
    process = start("pull", "lenet-mnist", "--compression", "0.5")
    half = len(service.make({"compression": 0.5, "precision": "fp32"})) // 2
    while not any((cache / name).stat().st_size == half for name in files() if name.endswith(".part")):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err
    assert run("pull", "lenet-mnist", "--compression", "0.5")[0] == 0
    assert service.requests[-1][2]["range"] == f"bytes={half}-"


@pytest.mark.parametrize(
    "command", [[], ["pull"], ["models"], ["curve"], ["run"], ["verify"], ["autofit"], ["bench"], ["cache", "ls"], ["cache", "gc"]]
)
def test_help_teaches_by_example(run, command):
    code, out, _ = run(*command, "--help")
    assert code == 0
    assert f"neumeta-client {' '.join(command)}".strip() in out
