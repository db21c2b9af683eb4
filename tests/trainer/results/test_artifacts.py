from __future__ import annotations

import dataclasses

import numpy as np
import onnxruntime
import pytest
import torch
from neumeta_core.assembly import assemble
from neumeta_core.manifold import Manifold
from neumeta_trainer.data import ImageSet, Splits
from neumeta_trainer.results.artifacts import with_all_precisions

from tests.tiny import LABELS, SIDE, tiny_manifold

IMAGES = torch.randint(256, (1200, 1, SIDE, SIDE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def splits() -> Splits:
    nothing = ImageSet(IMAGES[:0], torch.zeros(0, dtype=torch.int64))
    return Splits("random", LABELS, nothing, nothing, 1 / 255, (0.5,), (0.25,), torch.channels_last)


def labelled_by(manifold: Manifold, precision: str, splits: Splits) -> ImageSet:
    """Images with what the full member says in this precision: it alone is never wrong."""
    member = manifold.configure(0)
    session = onnxruntime.InferenceSession(assemble(manifold, member, manifold.materialize(member), precision).data)
    logits = session.run(None, {"input": splits.prepare(IMAGES).contiguous().numpy()})[0]
    return ImageSet(IMAGES, torch.from_numpy(np.asarray(logits).argmax(axis=1)))


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_each_precision_is_measured_by_its_own_artifact(precision, splits):
    manifold = tiny_manifold()
    full, *_ = with_all_precisions(manifold, labelled_by(manifold, precision, splits), splits).header.curve.points
    assert full.quality_in[precision] == 1
    other = ({"fp16", "int8"} - {precision}).pop()
    assert 0.9 < full.quality_in[other] < 1


def test_all_but_the_measurements_stays(splits):
    manifold = tiny_manifold()
    measured = with_all_precisions(manifold, labelled_by(manifold, "fp16", splits), splits)
    assert [list(point.quality_in) for point in measured.header.curve.points] == [["fp16", "int8"]] * 3
    points = tuple(point.model_copy(update={"quality_in": {}}) for point in measured.header.curve.points)
    assert measured.header.model_copy(update={"curve": measured.header.curve.model_copy(update={"points": points})}) == manifold.header


def test_a_precision_that_cannot_hold_the_weights_is_left_out(splits):
    manifold, other = tiny_manifold(), tiny_manifold()
    manifold.inr.start_from({name: 1e6 * values for name, values in other.materialize(other.configure(0)).items()})
    data = labelled_by(tiny_manifold(), "fp32", splits)
    assert [list(point.quality_in) for point in with_all_precisions(manifold, data, splits).header.curve.points] == [["int8"]] * 3


def test_a_precision_in_which_onnxruntime_cannot_run_it_is_left_out_and_told(splits, monkeypatch, caplog):
    manifold = tiny_manifold()
    images = labelled_by(manifold, "fp32", splits)

    def broken_in_fp16(*arguments):
        artifact = assemble(*arguments)
        return dataclasses.replace(artifact, data=b"no model") if arguments[-1] == "fp16" else artifact

    monkeypatch.setattr("neumeta_trainer.results.artifacts.assemble", broken_in_fp16)
    measured = with_all_precisions(manifold, images, splits)
    assert [list(point.quality_in) for point in measured.header.curve.points] == [["int8"]] * 3
    assert "in fp16, which was not measured" in caplog.text
