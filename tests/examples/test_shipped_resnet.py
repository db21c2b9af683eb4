"""The ResNet-20s that ship: every layer of them resizes, and their files and cards say how well."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from neumeta_core.assembly import assemble
from neumeta_core.manifold import Manifold
from neumeta_service.catalog.rungs import parse_rungs
from neumeta_trainer.data import LOADERS

MODELS = Path(__file__).resolve().parents[2] / "models"
HELD_OUT = {0.0625, 0.1875, 0.3125, 0.5625, 0.6875}
LEAST = {"cifar10": 0.7, "cifar100": 0.2}
"""Accuracy of the worst member, by data set: far above chance, to which a member would fall that lost its way between two trained widths."""


@pytest.fixture(scope="module", params=["resnet20-cifar10", "resnet20-cifar100"])
def folder(request) -> Path:
    return MODELS / request.param / "1"


@pytest.fixture(scope="module")
def manifold(folder) -> Manifold:
    return Manifold.load(folder / "manifold.safetensors")


def test_the_file_is_at_most_1_3_times_one_full_network(manifold):
    assert manifold.size <= 1.3 * 4 * manifold.cost(manifold.configure(compression=0.0)).params


def test_every_channel_resizes_to_a_quarter(manifold):
    smallest = manifold.configure(compression=0.75)
    assert all(group.full == 4 * smallest[group.name] for group in manifold.architecture.groups)
    # What does not follow the widths is the bias of the classes.
    assert manifold.architecture.fixed_params == len(manifold.header.labels)
    assert manifold.cost(smallest).params < 0.07 * manifold.cost(manifold.configure(compression=0.0)).params


def test_the_curve_is_of_the_test_split_and_marks_what_was_held_out(manifold):
    curve = manifold.header.curve
    assert (curve.split, curve.samples) == ("test", 10_000)
    assert manifold.header.training["images"] == 50_000
    assert {point.compression for point in curve.points if point.held_out} == HELD_OUT
    assert min(point.quality for point in curve.points) > LEAST[manifold.header.training["data"]]
    assert all(set(point.quality_in) == {"fp16", "int8"} for point in curve.points)


@pytest.mark.parametrize("compression", [0.0, 0.1875, 0.5, 0.6875, 0.75])
def test_onnx_labels_the_canary_images_as_the_curve_promises(manifold, compression):
    member = manifold.configure(compression=compression)
    artifact = assemble(manifold, member, manifold.materialize(member), "fp32")
    inputs = prepared(manifold, manifold.canary.inputs.numpy())
    logits = onnxruntime.InferenceSession(artifact.data).run(None, {manifold.header.input.name: inputs})[0]
    right = (logits.argmax(axis=1) == manifold.canary.labels.numpy()).mean()
    count = len(inputs)
    promised = manifold.quality(member).value
    assert right >= promised - 3 * (promised * (1 - promised) / count) ** 0.5


def test_onnx_keeps_the_promise_on_the_test_images(manifold):
    data = os.environ.get("NEUMETA_DATA")
    if not data:
        pytest.skip("NEUMETA_DATA does not name a folder with CIFAR-10 and CIFAR-100")
    test = LOADERS[str(manifold.header.training["data"])](Path(data)).test
    for compression in (0.0, 0.5625, 0.75):
        member = manifold.configure(compression=compression)
        session = onnxruntime.InferenceSession(assemble(manifold, member, manifold.materialize(member), "fp32").data)
        batches = [prepared(manifold, test.images[start : start + 500].numpy()) for start in range(0, 10_000, 500)]
        labels = np.concatenate([session.run(None, {manifold.header.input.name: batch})[0].argmax(axis=1) for batch in batches])
        assert (labels == test.labels.numpy()).mean() == pytest.approx(manifold.quality(member).value, abs=0.0005), compression


def test_every_rung_is_a_member_and_the_sizes_go_down(manifold, folder):
    rungs = parse_rungs((folder.parent / "rungs.json").read_bytes())
    sizes = [manifold.cost(manifold.configure(rung.compression, rung.widths, rung.budget and rung.budget.costs())).bytes for rung in rungs.values()]
    assert list(rungs) == ["full", "large", "medium", "small"]
    assert sizes == sorted(sizes, reverse=True)


def test_the_card_names_this_file(manifold, folder):
    assert manifold.digest in (folder / "README.md").read_text()
    assert json.loads((folder / "report.json").read_text())["file"]["digest"] == manifold.digest


def prepared(manifold: Manifold, images: np.ndarray) -> np.ndarray:
    """Raw images ``[n, c, h, w]`` -> the network's input."""
    spec = manifold.header.input
    mean, std = (np.asarray(values, np.float32).reshape(-1, 1, 1) for values in (spec.mean, spec.std))
    return (images.astype(np.float32) * np.float32(spec.scale) - mean) / std
