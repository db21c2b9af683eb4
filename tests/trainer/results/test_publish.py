"""What is published, and what is in the models folder meanwhile."""

from __future__ import annotations

import errno
import itertools
import json
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from neumeta_core.manifold import Manifold
from neumeta_trainer.errors import RecordRefused
from neumeta_trainer.results.card import publish

SHIPPED = Path(__file__).resolve().parents[3] / "models" / "lenet-mnist" / "1"


ALONE_RECORD = {
    "recipe": "lenet-mnist",
    "tier": "",
    "method": "alone",
    "seed": 0,
    "split": "test",
    "samples": 10_000,
    "measurements": [{"compression": 0.5, "params": 29_322, "macs": 1_890_496, "quality": 0.4321}],
    "machine": "",
    "command": "",
}


def alone(folder: Path, **changes: object) -> Path:
    (folder / "alone.json").write_text(json.dumps(ALONE_RECORD | changes))
    return folder


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"method": "prefix none"}, "its method is 'prefix none'; expected 'alone'"),
        ({"method": "alone equal MACs"}, "its method is 'alone equal MACs'"),
        ({"method": "alone distilled longer"}, "its method is 'alone distilled longer'"),
        ({"samples": 500}, "its samples is 500, that of the manifold 10000"),
        (
            {"measurements": [{"compression": 0.5, "params": 29_322, "macs": 1, "quality": 0.4}]},
            "its network of compression 0.5 has 29,322 parameters and 1 multiply-adds, the manifold's member 29,322 and 1,890,496",
        ),
        ({"recipe": "lenet"}, "its recipe is 'lenet', that of the manifold 'lenet-mnist'"),
        ({"tier": "long"}, "its tier is 'long', that of the manifold ''"),
    ],
)
def test_networks_alone_of_another_recipe_are_refused(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    with pytest.raises(RecordRefused, match=re.escape(said)):
        publish(SHIPPED, alone(tmp_path, **changes), tmp_path / "models")
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("method", ["alone", "alone family.batch=4", "alone small batches"])
def test_networks_alone_are_shown_with_the_command_that_trained_them(tmp_path: Path, method: str) -> None:
    command = "neumeta alone lenet-mnist 0.5 --set family.batch=4"
    folder = publish(SHIPPED, alone(tmp_path, method=method, command=command, training={"0.5": 7}), tmp_path / "models")
    card = (folder / "README.md").read_text()
    assert "| 43.21 |" in card
    assert "7 steps where the manifold's" in card
    assert f"the same seed\n(`{command}`)." in card


def test_a_card_does_not_speak_of_networks_alone_that_were_not_measured(tmp_path: Path) -> None:
    assert "*Trained alone*: not measured." in (publish(SHIPPED, None, tmp_path) / "README.md").read_text()


def test_a_run_from_before_recipes_had_a_study_is_compared_by_its_name(tmp_path: Path) -> None:
    recipe = Manifold.load(SHIPPED / "manifold.safetensors").header.training["recipe"]
    assert isinstance(recipe, dict)
    assert "study" not in recipe
    assert "| 43.21 |" in (publish(SHIPPED, alone(tmp_path), tmp_path / "models") / "README.md").read_text()


def interrupting(monkeypatch: pytest.MonkeyPatch, place: Any, name: str, is_due: Callable[[], bool]) -> None:
    """Ctrl-C right after a call that changes files."""
    change = getattr(place, name)

    def changing(*arguments: Any, **named: Any) -> Any:
        done = change(*arguments, **named)
        if is_due():
            signal.raise_signal(signal.SIGINT)
        return done

    monkeypatch.setattr(place, name, changing)


def test_whenever_a_replacement_is_interrupted_a_whole_version_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = publish(SHIPPED, None, tmp_path)
    for moment in itertools.count():
        count = itertools.count()
        with monkeypatch.context() as patched:
            for place, name in ((shutil, "rmtree"), (Path, "rename"), (Path, "mkdir")):
                interrupting(patched, place, name, lambda count=count, moment=moment: next(count) == moment)
            try:
                publish(SHIPPED, None, tmp_path, replace=True)
                break
            except KeyboardInterrupt:
                pass
        assert Manifold.load(folder / "manifold.safetensors").header.name == "lenet-mnist", moment
        assert (folder / "README.md").is_file(), moment
    assert moment > 3
    assert [path.name for path in folder.parent.iterdir()] == ["1"]


def test_a_replacement_that_cannot_be_moved_to_its_place_leaves_the_old_version_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = publish(SHIPPED, None, tmp_path)
    rename = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path.suffix == ".part":
            raise OSError(errno.EIO, "Input/output error")
        return rename(path, target)

    with monkeypatch.context() as disk:
        disk.setattr(Path, "rename", refuse)
        with pytest.raises(OSError, match="Input/output error"):
            publish(SHIPPED, None, tmp_path, replace=True)
    assert Manifold.load(folder / "manifold.safetensors").header.name == "lenet-mnist"
