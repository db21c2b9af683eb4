from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from neumeta_core.manifold import Manifold
from neumeta_trainer.cli import app
from neumeta_trainer.cli.options import expected_errors, record_into
from neumeta_trainer.errors import RecordRefused
from neumeta_trainer.results.card import publish
from neumeta_trainer.results.record import RunRecord, read_matrices, read_records
from neumeta_trainer.training.checkpoint import save_checkpoint
from typer.testing import CliRunner

from tests.tiny import save_tiny
from tests.trainer.results.records import run

PATIENCE = 240
SHIPPED = Path(__file__).resolve().parents[2] / "models" / "lenet-mnist" / "1"
DIGITS = ("train", "digits", "--set", "family.optimization.steps=120", "--set", "fit.optimization.steps=150", "--set", "fit.targets=8")
"""In less than half of its steps."""


def neumeta(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, env=os.environ | environment, timeout=PATIENCE, check=False)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-c", "from neumeta_trainer.cli import app; app()", *map(str, arguments)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The result of an uninterrupted run of the digits recipe."""
    out = tmp_path_factory.mktemp("whole")
    done = neumeta(*DIGITS, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "Wrote" in done.stdout
    return out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["interrupted", "killed"])
def test_a_run_that_was_stopped_goes_on_and_gives_the_same_file(whole, tmp_path, number):
    process = subprocess.Popen(command(*DIGITS, "--out", tmp_path), stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + PATIENCE
    while not (tmp_path / "checkpoints" / "family.pt").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(number)
    _, error = process.communicate(timeout=PATIENCE)
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert "the same command goes on from there" in " ".join(error.split())
        assert "Traceback" not in error
    assert not (tmp_path / "manifold.safetensors").exists()
    assert neumeta(*DIGITS, "--out", tmp_path).returncode == 0
    assert Manifold.load(tmp_path / "manifold.safetensors").digest == Manifold.load(whole / "manifold.safetensors").digest


def test_inspect_shows_what_a_file_holds(whole):
    shown = neumeta("inspect", whole / "manifold.safetensors", COLUMNS="200")
    assert shown.returncode == 0
    assert "digits 1" in shown.stdout
    assert "conv2: 8 to 32 channels" in shown.stdout
    assert "validation images" in shown.stdout


def test_the_report_agrees_with_the_file(whole):
    report = json.loads((whole / "report.json").read_text())
    manifold = Manifold.load(whole / "manifold.safetensors")
    assert report["file"]["bytes"] == (whole / "manifold.safetensors").stat().st_size
    assert report["file"]["digest"] == manifold.digest
    assert [point["quality"] for point in report["curve"]["points"]] == [point.quality for point in manifold.header.curve.points]


def test_a_damaged_file_is_one_sentence(tmp_path):
    path = save_tiny(tmp_path)
    path.write_bytes(path.read_bytes()[:1000])
    shown = neumeta("inspect", path)
    assert shown.returncode == 1
    assert "error:" in shown.stderr
    assert "Traceback" not in shown.stderr


def test_what_looks_like_markup_is_shown_as_it_is(tmp_path):
    shown = neumeta("inspect", tmp_path / "[red]")
    assert shown.returncode == 1
    assert "[red] cannot be read" in " ".join(shown.stderr.split())


def test_folders_whose_names_look_like_markup_are_told_as_they_are(tmp_path, capsys):
    models = tmp_path / "models[/old]"
    done = CliRunner().invoke(app, ["publish", str(SHIPPED), "--to", str(models)])
    assert done.exit_code == 0
    assert done.stdout == f"Published {models / 'lenet-mnist' / '1'}\n"
    record_into(tmp_path / ":smile:[red]", run("alone", 0, (None, 0.5)))
    assert capsys.readouterr().out.startswith(f"Recorded {tmp_path}/:smile:[red]/toy")
    with pytest.raises(typer.Exit), expected_errors(Path("runs[/old]")):
        raise KeyboardInterrupt
    assert "The state is kept in runs[/old]; the same command" in " ".join(capsys.readouterr().err.split())


def test_an_unknown_recipe_names_the_known_ones(tmp_path):
    shown = neumeta("train", "nothing", "--out", tmp_path, COLUMNS="200")
    assert shown.returncode == 2
    assert "lenet-mnist" in shown.stderr


def test_missing_data_says_what_to_do(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "NEUMETA_DATA"}
    shown = subprocess.run(
        command("train", "lenet-mnist", "--out", tmp_path), capture_output=True, text=True, env=environment, timeout=PATIENCE, check=False
    )
    assert shown.returncode == 1
    assert "give --data DIR or set NEUMETA_DATA" in " ".join(shown.stderr.split())


def test_another_recipe_in_the_same_folder_is_refused(whole):
    shown = neumeta(*DIGITS, "--out", whole, "--final")
    assert shown.returncode == 1
    assert "other settings or data" in " ".join(shown.stderr.split())


def test_publish_puts_a_finished_run_where_the_service_finds_it(whole, tmp_path):
    alone = tmp_path / "alone"
    alone.mkdir()
    curve = Manifold.load(whole / "manifold.safetensors").header.curve
    half = next(point for point in curve.points if point.compression == 0.5)
    record = {
        "recipe": "digits",
        "tier": "",
        "method": "alone",
        "seed": 0,
        "split": "validation",
        "samples": curve.samples,
        "machine": "",
        "command": "",
    }
    point = {"compression": 0.5, "params": half.params, "macs": half.macs, "quality": 0.5}
    for changes, said in (
        ({"split": "test"}, "its split is 'test', that of the manifold 'validation'"),
        ({"training": {"0.5": 7, "0": 8}}, "its networks took [7, 8] steps"),
        ({"method": "alone distilled"}, "its method is 'alone distilled'"),
        ({"training": {"0.5": 7}}, ""),
    ):
        (alone / "alone.json").write_text(json.dumps(record | {"measurements": [point]} | changes))
        if said:
            with pytest.raises(RecordRefused, match=re.escape(said)):
                publish(whole, alone, tmp_path / "models")
            assert not (tmp_path / "models").exists()
    done = neumeta("publish", whole, "--to", tmp_path / "models", "--alone", alone)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "models" / "digits" / "1"
    assert {path.name for path in folder.iterdir()} == {"README.md", "curve.png", "manifold.safetensors", "report.json"}
    assert [path.name for path in folder.parent.iterdir()] == ["1"]
    manifold, card = Manifold.load(folder / "manifold.safetensors"), (folder / "README.md").read_text()
    assert manifold.digest in card
    assert f"| 0.50 | {half.params:,} | {half.macs:,} | {100 * half.quality:.2f} |" in card
    assert "| 50.00 |" in card
    assert re.search(r"widths, 7 steps where the manifold's .* stages took \d+ together, the same seed", card)


def test_publish_replaces_a_version_that_is_there_only_when_told_to(whole, tmp_path):
    folder = publish(whole, None, tmp_path / "models")
    (folder / "README.md").write_text("words of mine")
    (folder / "manifold.safetensors.sig").touch()
    refused = neumeta("publish", whole, "--to", tmp_path / "models")
    assert refused.returncode == 1
    assert "is there already" in " ".join(refused.stderr.split())
    assert "--set version=2" in " ".join(refused.stderr.split())
    assert (folder / "README.md").read_text() == "words of mine"
    assert (folder / "manifold.safetensors.sig").exists()
    replaced = neumeta("publish", whole, "--to", tmp_path / "models", "--replace")
    assert replaced.returncode == 0, replaced.stderr
    assert {path.name for path in folder.iterdir()} == {"README.md", "curve.png", "manifold.safetensors", "report.json"}
    assert [path.name for path in folder.parent.iterdir()] == ["1"]


def test_publish_refuses_a_run_that_is_not_finished_or_whose_report_is_another_ones(whole, tmp_path):
    assert "no finished run" in " ".join(neumeta("publish", tmp_path, "--to", tmp_path / "models").stderr.split())
    (tmp_path / "manifold.safetensors").write_bytes((whole / "manifold.safetensors").read_bytes())
    report = json.loads((whole / "report.json").read_text())
    report["file"]["digest"] = "sha256:other"
    (tmp_path / "report.json").write_text(json.dumps(report))
    done = neumeta("publish", tmp_path, "--to", tmp_path / "models")
    assert done.returncode == 1
    assert "belongs to another manifold" in " ".join(done.stderr.split())
    assert not (tmp_path / "models").exists()


def test_alone_trains_sizes_and_records_them(tmp_path):
    done = neumeta("alone", "digits", "0.75", "0.5", "--out", tmp_path, "--records", tmp_path / "records", "--set", "family.optimization.steps=200")
    assert done.returncode == 0, done.stderr
    assert "INFO alone-0.5: step 260 of 260" in done.stderr  # where nobody sees bars
    record = RunRecord.model_validate_json((tmp_path / "alone.json").read_bytes())
    assert [point.compression for point in record.measurements] == [0.75, 0.5]
    assert min(point.quality for point in record.measurements) > 0.9
    assert record.training == {"0.75": 260, "0.5": 260}  # 200 of the family and 60 of the end-to-end stage
    assert record.trained_macs == 260 * 64 * sum(point.macs for point in record.measurements)
    assert record.command == "neumeta alone digits 0.75 0.5 --set family.optimization.steps=200"
    assert read_records(tmp_path / "records") == [record]
    assert record.method == "alone family.optimization.steps=200"


def test_baselines_records_the_methods_that_are_asked_for(tmp_path):
    changes = "--set", "family.optimization.steps=20", "--set", "tune=none"
    methods = "--method", "prune l1", "--method", "slimmable"
    done = neumeta("baselines", "digits", "--out", tmp_path, *methods, *changes, f"--records={tmp_path / 'records'}")
    assert done.returncode == 0, done.stderr
    first, second = (line for line in done.stdout.splitlines() if line.strip() and not line.startswith("Recorded"))
    found = {record.method: record for record in read_records(tmp_path / "records")}
    variant = "family.optimization.steps=20, tune=none"
    assert found.keys() == {f"prune l1 {variant}", f"slimmable {variant}"}
    for line, method in ((first, f"prune l1 {variant}"), (second, f"slimmable {variant}")):
        assert line.startswith(method)
        assert f"0.75: {100 * found[method].measurements[-1].quality:.2f} %" in line
    command = "neumeta baselines digits --set family.optimization.steps=20 --set tune=none --method 'prune l1'"
    assert found[f"prune l1 {variant}"].command == command


def test_an_unknown_method_names_the_known_ones(tmp_path):
    shown = neumeta("baselines", "digits", "--out", tmp_path, "--method", "prune", COLUMNS="200")
    assert shown.returncode == 2
    assert "prefix smooth" in shown.stderr


def test_ablate_records_every_variation_with_the_command_that_repeats_it(tmp_path):
    short = ("--set", "base.optimization.steps=100", "--set", "tune.optimization.steps=10")
    done = neumeta("ablate", "digits-paper", "--vary", "sampling.count=1", "--out", tmp_path / "run", "--records", tmp_path / "records", *short)
    assert done.returncode == 0, done.stderr
    settings = "--set base.optimization.steps=100 --set tune.optimization.steps=10"
    variant = "base.optimization.steps=100, tune.optimization.steps=10"
    found = {record.method: record.command for record in read_records(tmp_path / "records")}
    assert found == {
        f"mlp {variant}": f"neumeta train digits-paper {settings}",
        f"mlp {variant}, sampling.count=1": f"neumeta train digits-paper {settings} --set sampling.count=1",
    }


def test_runs_of_another_seed_are_of_the_same_method(tmp_path):
    short = ("--set", "family.optimization.steps=20", "--set", "fit.targets=2", "--set", "tune=none", "--set", "seed=1")
    done = neumeta("train", "digits", "--out", tmp_path / "run", "--records", tmp_path / "records", *short)
    assert done.returncode == 0, done.stderr
    variant = "family.optimization.steps=20, fit.targets=2, tune=none"
    assert {(record.method, record.seed) for record in read_records(tmp_path / "records")} == {(f"anchored {variant}", 1), (f"slices {variant}", 1)}


def test_a_label_stands_for_the_list_of_settings(tmp_path):
    short = ("--set", "family.optimization.steps=20", "--set", "fit.targets=2", "--set", "tune=none", "--set", "seed=1")
    done = neumeta("train", "digits", "--out", tmp_path / "run", "--records", tmp_path / "records", *short, "--label", "20 steps")
    assert done.returncode == 0, done.stderr
    found = {record.method: record for record in read_records(tmp_path / "records")}
    assert found.keys() == {"anchored 20 steps", "slices 20 steps"}
    assert found["slices 20 steps"].command == f"neumeta train digits {' '.join(short)} --label '20 steps'"
    assert (tmp_path / "records/digits/-/slices-20-steps.validation.1.json").is_file()


@pytest.mark.parametrize("command", [("alone", "digits", "0.75"), ("baselines", "digits", "--method", "prefix none")], ids=["alone", "baselines"])
def test_networks_that_are_compared_have_labels_too(tmp_path, command):
    short = ("--set", "family.optimization.steps=2", "--set", "tune=none", "--label", "two steps")
    done = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "run"), "--records", str(tmp_path / "records"), *short])
    assert done.exit_code == 0, done.output
    (record,) = read_records(tmp_path / "records")
    assert record.method == f"{'alone' if command[0] == 'alone' else 'prefix none'} two steps"


def test_the_subject_of_an_analysis_has_the_label(tmp_path):
    short = ("--set", "family.optimization.steps=2", "--set", "tune=none", "--label", "two steps")
    done = CliRunner().invoke(
        app, ["analyse", "variation", "digits", "--alone", str(tmp_path / "run"), "--records", str(tmp_path / "records"), *short]
    )
    assert done.exit_code == 0, done.output
    assert [record.subject for record in read_matrices(tmp_path / "records")] == ["two steps"]


def test_a_record_that_takes_another_s_place_says_so(tmp_path, capsys):
    first = run("alone short", 0, (0.9,), command="neumeta train toy --set a=1 --label short")
    for record, said in (
        (first, ""),
        (first, ""),
        (first.model_copy(update={"command": "neumeta train toy --set a=2 --label short"}), first.command),
    ):
        record_into(tmp_path, record)
        place = f", in place of the record of `{said}`" if said else ""
        assert "".join(capsys.readouterr().out.split("\n")) == f"Recorded {tmp_path / record.path}{place}."


@pytest.mark.parametrize("label", ["", "one; two", "known as two", "a  gap", "--> end", "--final", "distilled", "at conv1", "\u0436", "a" * 61])
def test_a_label_that_is_none_or_names_another_method_is_refused(tmp_path, label):
    shown = CliRunner().invoke(app, ["train", "digits", "--out", str(tmp_path / "run"), "--label", label], env={"COLUMNS": "300"})
    assert shown.exit_code == 2
    assert "Invalid value for '--label'" in shown.output
    assert not (tmp_path / "run").exists()


def test_networks_of_a_folder_that_has_none_are_refused_and_nothing_is_made(tmp_path):
    done = neumeta("train", "digits", "--out", tmp_path / "run", "--networks", tmp_path / "mistyped")
    assert done.returncode == 1
    assert "family.pt is not there" in " ".join(done.stderr.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("steps", "said"), [(299, "family.pt has 299 of 300 steps"), (300, "--networks needs a run that differs")])
def test_networks_of_a_run_that_is_not_finished_are_refused_instead_of_trained_there(tmp_path, steps, said):
    path = tmp_path / "other" / "checkpoints" / "family.pt"
    save_checkpoint(path, {"fingerprint": "of another run", "step": steps})
    before = path.read_bytes()
    done = CliRunner().invoke(app, ["train", "digits", "--device", "cpu", "--out", str(tmp_path / "run"), "--networks", str(tmp_path / "other")])
    assert done.exit_code == 1
    told = " ".join(done.stderr.split())
    assert said in told
    assert "delete" not in told
    assert path.read_bytes() == before
    assert not (tmp_path / "run").exists()


def test_without_the_packages_of_the_trainer_the_command_says_what_to_install():
    program = "import sys; sys.modules['matplotlib'] = None; from neumeta_trainer.__main__ import main; main()"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert shown.returncode == 1
    assert shown.stderr.startswith("error: neumeta needs matplotlib, which is not installed. Install the trainer: pip install")
    assert "Traceback" not in shown.stderr
