from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from neumeta_trainer.data import Batches, ImageSet, load_digits, load_mnist
from neumeta_trainer.data.mnist import read_idx
from neumeta_trainer.errors import DataNotFound


def idx_bytes(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape) + array.tobytes()


def write_mnist(folder: Path, train: int = 30, test: int = 10, end: str = "") -> None:
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    random = np.random.default_rng(0)
    for prefix, count in (("train", train), ("t10k", test)):
        images, labels = random.integers(0, 256, (count, 28, 28), np.uint8), random.integers(0, 10, count).astype(np.uint8)
        for name, array in ((f"{prefix}-images-idx3-ubyte", images), (f"{prefix}-labels-idx1-ubyte", labels)):
            data = idx_bytes(array)
            (raw / f"{name}{end}").write_bytes(gzip.compress(data, mtime=0) if end else data)


@pytest.mark.parametrize("end", ["", ".gz"])
def test_mnist_is_read_plain_and_gzipped(tmp_path, end):
    write_mnist(tmp_path, end=end)
    splits = load_mnist(tmp_path)
    assert splits.train.images.shape == (30, 1, 28, 28)
    assert splits.test.labels.dtype == torch.int64
    prepared = splits.prepare(splits.train.images)
    expected = (splits.train.images.float() / 255 - 0.1307) / 0.3081
    assert torch.allclose(prepared, expected)


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"", "no IDX"), (b"\0\0\x0d\1", "no IDX"), (b"\0\0\x08\3\0", "no IDX"), (idx_bytes(np.zeros((3, 4), np.uint8))[:-1], "is cut")],
)
def test_damaged_idx_files_are_refused(tmp_path, data, message):
    path = tmp_path / "x-ubyte"
    path.write_bytes(data)
    with pytest.raises(DataNotFound, match=message):
        read_idx(path)


WHOLE, SHORT = (gzip.compress(data, mtime=0) for data in (idx_bytes(np.zeros(50, np.uint8)), b"x"))


@pytest.mark.parametrize("data", [b"no gzip", WHOLE[:-9], SHORT[:12] + b"\xff" * 20])
def test_damaged_gzip_files_are_refused(tmp_path, data):
    path = tmp_path / "x-ubyte.gz"
    path.write_bytes(data)
    with pytest.raises(DataNotFound, match="cannot be read"):
        read_idx(path)


def test_missing_data_is_named(tmp_path):
    with pytest.raises(DataNotFound, match=r"train-images-idx3-ubyte is not in .*expected it in"):
        load_mnist(tmp_path)
    with pytest.raises(DataNotFound, match="NEUMETA_DATA"):
        load_mnist(None)


def test_digits_need_no_download():
    splits = load_digits()
    assert len(splits.train) == 1437
    assert len(splits.test) == 360
    assert splits.prepare(splits.train.images).mean().abs() < 0.05


def test_validation_images_are_no_training_images():
    splits = load_digits()
    train, validation = splits.validation(100)
    assert len(train) == 1337
    assert len(validation) == 100
    again, _ = splits.validation(100)
    assert torch.equal(train.images, again.images)
    rows = {tuple(row) for row in train.images.flatten(1).tolist()}
    assert sum(tuple(row) in rows for row in validation.images.flatten(1).tolist()) <= 1  # digits holds few equal images


def numbered(count: int) -> ImageSet:
    return ImageSet(torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 8, 8).contiguous(), torch.arange(count))


def test_batches_are_a_pure_function_of_seed_and_step():
    splits = load_digits()
    batches = Batches(splits.train, splits, 32, seed=1, shift=2)
    first = [batches.at(step) for step in (0, 50, 3)]
    other = Batches(splits.train, splits, 32, seed=1, shift=2)
    for step, (inputs, labels) in zip((3, 50, 0), reversed(first), strict=True):
        again, same = other.at(step)
        assert torch.equal(inputs, again)
        assert torch.equal(labels, same)
    assert not torch.equal(Batches(splits.train, splits, 32, seed=2).at(0)[1], first[0][1])


def test_an_epoch_shows_every_image_once():
    splits = load_digits()
    batches = Batches(numbered(60), splits, 20, seed=0)
    for epoch in (0, 1):
        seen = torch.cat([batches.at(epoch * 3 + step)[1] for step in range(3)])
        assert seen.sort().values.equal(torch.arange(60))


def test_images_are_shifted_by_at_most_the_given_pixels():
    splits = load_digits()
    image = torch.zeros(40, 1, 8, 8, dtype=torch.uint8)
    image[:, 0, 4, 4] = 16
    inputs, _ = Batches(ImageSet(image, torch.zeros(40).long()), splits, 40, seed=0, shift=1).at(0)
    places = {tuple(divmod(int(index), 8)) for index in inputs.flatten(1).argmax(1)}
    assert places <= {(row, column) for row in (3, 4, 5) for column in (3, 4, 5)}
    assert len(places) > 4


@pytest.mark.data
@pytest.mark.skipif("NEUMETA_DATA" not in os.environ, reason="NEUMETA_DATA names no folder with the real data sets")
def test_the_real_mnist():
    splits = load_mnist(Path(os.environ["NEUMETA_DATA"]))
    assert len(splits.train) == 60_000
    assert len(splits.test) == 10_000
    assert splits.prepare(splits.train.images[:10_000]).mean().abs() < 0.02
