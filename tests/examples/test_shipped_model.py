"""The manifold that ships: its file, its card, and the promise of its curve on the digits that ship."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from neumeta_core.assembly import assemble
from neumeta_core.manifold import Manifold
from neumeta_service.catalog.rungs import parse_rungs
from neumeta_trainer.data.mnist import read_idx

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "models" / "lenet-mnist" / "1"
HELD_OUT = [[0.28, 0.33], [0.42, 0.47], [0.66, 0.71], [0.80, 0.85]]


@pytest.fixture(scope="module")
def manifold() -> Manifold:
    return Manifold.load(FOLDER / "manifold.safetensors")


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    data = ROOT / "examples" / "data"
    return read_idx(data / "mnist-test-1000-images-idx3-ubyte.gz"), read_idx(data / "mnist-test-1000-labels-idx1-ubyte.gz")


def test_the_file_is_at_most_1_3_times_one_full_network(manifold):
    assert manifold.size <= 1.3 * 4 * manifold.cost(manifold.configure(compression=0.0)).params


def test_the_curve_holds_its_bars_at_every_compression(manifold):
    points = manifold.header.curve.points
    assert {round(0.05 * step, 2) for step in range(16)} <= {point.compression for point in points}
    assert (manifold.header.curve.split, manifold.header.curve.samples) == ("test", 10_000)
    assert min(point.quality for point in points) >= 0.988
    assert {point.compression for point in points if point.held_out} == {0.18, 0.3, 0.55, 0.7}


def test_every_rung_is_a_member_and_the_sizes_go_down(manifold):
    rungs = parse_rungs((FOLDER.parent / "rungs.json").read_bytes())
    bytes_of = {
        name: manifold.cost(manifold.configure(rung.compression, rung.widths, rung.budget and rung.budget.costs())).bytes
        for name, rung in rungs.items()
    }
    assert bytes_of["full"] > bytes_of["large"] > bytes_of["medium"] > bytes_of["64kb"] > bytes_of["small"]
    assert bytes_of["64kb"] <= 64 * 1024


def test_held_out_ratios_and_the_whole_training_set_are_on_record(manifold):
    assert manifold.header.training["held_out_ratios"] == HELD_OUT
    assert manifold.header.training["images"] == 60_000


def test_networks_trained_alone_are_never_more_than_0_3_points_better(manifold):
    alone = json.loads((FOLDER / "report.json").read_text())["alone"]
    by_compression = {point.compression: point.quality for point in manifold.header.curve.points}
    assert {float(compression) for compression in alone} == {0.0, 0.25, 0.5, 0.75}
    for compression, quality in alone.items():
        assert quality >= 0.989
        assert by_compression[float(compression)] >= quality - 0.003


@pytest.mark.parametrize("compression", [0.0, 0.17, 0.31, 0.55, 0.62, 0.7, 0.75])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_onnx_keeps_the_promise_on_the_digits_that_ship(manifold, digits, compression, precision):
    images, labels = digits
    member = manifold.configure(compression=compression)
    artifact = assemble(manifold, member, manifold.materialize(member), precision)
    spec = manifold.header.input
    prepared = (images[:, None].astype(np.float32) * np.float32(spec.scale) - np.float32(spec.mean)) / np.float32(spec.std)
    logits = onnxruntime.InferenceSession(artifact.data).run(None, {spec.name: prepared})[0]
    # The curve was measured on 10,000 digits; of 1,000 a few more may be hard.
    assert (logits.argmax(axis=1) == labels).mean() >= manifold.quality(member).value - 0.006


def test_int8_takes_about_a_quarter_of_the_bytes(manifold):
    for compression, most in ((0.0, 0.26), (0.5, 0.28), (0.75, 0.33)):
        member = manifold.configure(compression=compression)
        assert 0.25 < manifold.cost(member, "int8").bytes / manifold.cost(member).bytes < most


def test_nothing_is_measured_in_the_other_precisions_and_the_promise_says_so(manifold):
    estimate = manifold.quality(manifold.configure(compression=0.5), "int8")
    assert (estimate.kind, estimate.precision) == ("measured", "fp32")


def test_the_card_names_this_file(manifold):
    card = (FOLDER / "README.md").read_text()
    assert manifold.digest in card
    assert "trained alone" in card
