from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from neumeta_trainer.data import Batches, ImageSet, load_cifar10, load_cifar100, load_digits
from neumeta_trainer.errors import DataNotFound
from neumeta_trainer.networks.resnet_cifar import resnet20, resnet32, resnet56
from neumeta_trainer.structure.channel_groups import find_architecture
from neumeta_trainer.structure.fusion import fuse_batch_norm


def write_cifar10(folder: Path, each: int = 4) -> np.ndarray:
    place = folder / "cifar-10-batches-py"
    place.mkdir(parents=True)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (6 * each, 3072), np.uint8)
    for number, name in enumerate([*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]):
        part = slice(number * each, (number + 1) * each)
        dump(place / name, {b"data": images[part], b"labels": [number % 10] * each})
    dump(place / "batches.meta", {b"label_names": [b"airplane", b"cat"]})
    return images


def dump(path: Path, value: object) -> None:
    path.write_bytes(pickle.dumps(value, protocol=2))


def test_cifar10_is_read_in_order_with_red_first(tmp_path):
    images = write_cifar10(tmp_path)
    splits = load_cifar10(tmp_path)
    assert splits.labels == ("airplane", "cat")
    assert splits.train.images.shape == (20, 3, 32, 32)
    assert splits.train.labels.tolist() == [k for k in range(5) for _ in range(4)]
    assert splits.test.labels.tolist() == [5] * 4
    assert int(splits.train.images[7, 0, 2, 3]) == images[7, 2 * 32 + 3]
    assert int(splits.train.images[7, 2, 2, 3]) == images[7, 2048 + 2 * 32 + 3]


def test_cifar100_is_read_with_its_fine_labels(tmp_path):
    place = tmp_path / "cifar-100-python"
    place.mkdir()
    for name in ("train", "test"):
        dump(place / name, {b"data": np.zeros((3, 3072), np.uint8), b"fine_labels": [7, 99, 0], b"coarse_labels": [1, 2, 3]})
    dump(place / "meta", {b"fine_label_names": [b"apple"], b"coarse_label_names": [b"fruit"]})
    splits = load_cifar100(tmp_path)
    assert splits.train.labels.tolist() == [7, 99, 0]
    assert splits.labels == ("apple",)


def python2(data: bytes) -> bytes:
    """The originals name numpy's old module."""
    return data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def test_the_originals_of_python_2_are_read(tmp_path):
    write_cifar10(tmp_path)
    for path in (tmp_path / "cifar-10-batches-py").iterdir():
        path.write_bytes(python2(path.read_bytes()))
    assert len(load_cifar10(tmp_path).train) == 20


class Evil:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch pwned",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps(Evil()), "asks for posix.system"),
        (b"", "cannot be read"),
        (b"no pickle", "cannot be read"),
        (pickle.dumps([1]), "holds a list"),
        (pickle.dumps({b"data": np.zeros((2, 5), np.uint8), b"labels": [0, 0]}), r"no data of uint8 \[n, 3072\]"),
        (pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0]}), "no labels for its 2 images"),
    ],
)
def test_damaged_and_hostile_batches_are_refused_by_name(tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    write_cifar10(tmp_path)
    (tmp_path / "cifar-10-batches-py" / "data_batch_3").write_bytes(content)
    with pytest.raises(DataNotFound, match=f"data_batch_3.*{message}"):
        load_cifar10(tmp_path)
    assert not (tmp_path / "pwned").exists()


def test_missing_data_is_named(tmp_path):
    with pytest.raises(DataNotFound, match="NEUMETA_DATA"):
        load_cifar100(None)
    with pytest.raises(DataNotFound, match="has no folder cifar-10-batches-py"):
        load_cifar10(tmp_path)


def test_half_of_the_images_are_mirrored_and_the_others_left_alone():
    image = torch.zeros(400, 1, 8, 8, dtype=torch.uint8)
    image[:, 0, 3, 1] = 16
    inputs, _ = Batches(ImageSet(image, torch.zeros(400).long()), load_digits(), 400, seed=0, flip=True).at(0)
    columns = inputs[:, 0, 3].argmax(1)
    assert set(columns.tolist()) == {1, 6}
    assert 150 < int((columns == 6).sum()) < 250


@pytest.mark.parametrize(("make", "blocks", "published"), [(resnet20, 3, 269_722), (resnet32, 5, 464_154), (resnet56, 9, 853_018)])
def test_the_networks_have_the_published_sizes_and_all_of_their_layers_resize(make, blocks, published):
    network, images = make().eval(), torch.zeros(2, 3, 32, 32)
    shortcuts = 16 * 32 + 32 * 64 + 2 * (32 + 64)  # projections, which the published option A does without
    assert sum(parameter.numel() for parameter in network.parameters()) == published + shortcuts
    assert network(images).shape == (2, 10)
    found = find_architecture(fuse_batch_norm(network, images), images).architecture
    assert len(found.groups) == 3 + 3 * blocks  # the residual stream of every stage, and the inner width of every block
    assert found.fixed_params == 10  # the bias of the classes


@pytest.mark.data
@pytest.mark.skipif("NEUMETA_DATA" not in os.environ, reason="NEUMETA_DATA names no folder with the real data sets")
@pytest.mark.parametrize(("load", "classes"), [(load_cifar10, 10), (load_cifar100, 100)])
def test_the_real_cifar(load, classes):
    splits = load(Path(os.environ["NEUMETA_DATA"]))
    assert (len(splits.train), len(splits.test), len(splits.labels)) == (50_000, 10_000, classes)
    assert splits.test.labels.bincount().tolist() == [10_000 // classes] * classes
    prepared = splits.prepare(splits.train.images)
    assert prepared.mean((0, 2, 3)).abs().max() < 0.01
    assert (prepared.std((0, 2, 3)) - 1).abs().max() < 0.01
