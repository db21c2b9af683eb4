"""Pictures of hand-made records."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from neumeta_trainer.results.plot import MethodsPlot
from neumeta_trainer.results.record import RunRecord

from tests.trainer.results.records import ALONE, MANIFOLD, run

PLOT = MethodsPlot("toy", {"anchored": MANIFOLD, "alone": ALONE})


def test_a_picture_shows_its_own_numbers(tmp_path: Path) -> None:
    PLOT.draw(tmp_path / "toy.png")
    assert PLOT.is_drawn_in(tmp_path / "toy.png")
    assert not MethodsPlot("toy", {"anchored": MANIFOLD}).is_drawn_in(tmp_path / "toy.png")
    assert not PLOT.is_drawn_in(tmp_path / "other.png")


def test_a_picture_of_which_the_end_is_missing_shows_nothing(tmp_path: Path) -> None:
    path = tmp_path / "toy.png"
    PLOT.draw(path)
    path.write_bytes(path.read_bytes()[:-1000])
    assert not PLOT.is_drawn_in(path)


def test_a_picture_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "toy.png"
    PLOT.draw(path)
    before, save = path.read_bytes(), Figure.savefig

    def cut(figure: Figure, place: Path, **how: object) -> None:
        save(figure, place, **how)
        place.write_bytes(place.read_bytes()[:1000])
        raise OSError("no space left on device")

    monkeypatch.setattr(Figure, "savefig", cut)
    with pytest.raises(OSError, match="no space left"):
        PLOT.draw(path)
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["toy.png"]


def test_sizes_between_those_of_a_slimmable_network_are_not_shaded(tmp_path: Path) -> None:
    def pixels(name: str, method: str, kind: str) -> object:
        sizes = [{"compression": 0.25 * k, "params": 1, "macs": 1 + k, "quality": 0.5, "widths": kind if k == 1 else "trained"} for k in range(3)]
        record: RunRecord = run(method, 0, (), measurements=sizes)
        MethodsPlot("toy", {"one": [record]}).draw(tmp_path / name)
        return imread(tmp_path / name)

    plain = pixels("plain.png", "slimmable", "trained")
    assert np.array_equal(plain, pixels("between.png", "slimmable", "held_out"))
    assert not np.array_equal(plain, pixels("held_out.png", "anchored", "held_out"))
