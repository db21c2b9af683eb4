"""CIFAR-10 and CIFAR-100 from their standard python batches."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from neumeta_trainer.data.images import ImageSet, Splits
from neumeta_trainer.errors import DataNotFound

_PIXELS = 3 * 32 * 32
# What an array of bytes and its labels are pickled with; Python 2 wrote the originals, hence the old names.
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}


def load_cifar10(folder: Path | None) -> Splits:
    """50,000 training and 10,000 test images ``[3, 32, 32]`` of 10 classes from ``FOLDER/cifar-10-batches-py``."""
    place = _place(folder, "cifar-10-batches-py")
    return Splits(
        name="cifar10",
        labels=_names(place / "batches.meta", b"label_names"),
        train=_images([place / f"data_batch_{number}" for number in range(1, 6)], b"labels"),
        test=_images([place / "test_batch"], b"labels"),
        scale=1 / 255,
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2470, 0.2435, 0.2616),
    )


def load_cifar100(folder: Path | None) -> Splits:
    """50,000 training and 10,000 test images ``[3, 32, 32]`` of 100 classes from ``FOLDER/cifar-100-python``."""
    place = _place(folder, "cifar-100-python")
    return Splits(
        name="cifar100",
        labels=_names(place / "meta", b"fine_label_names"),
        train=_images([place / "train"], b"fine_labels"),
        test=_images([place / "test"], b"fine_labels"),
        scale=1 / 255,
        mean=(0.5071, 0.4865, 0.4409),
        std=(0.2673, 0.2564, 0.2762),
    )


class _ArraysOnly(pickle.Unpickler):
    """Reads arrays and plain containers; a file that asks for anything else never runs it."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no CIFAR file needs")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def _read(path: Path) -> dict[bytes, Any]:
    try:
        with path.open("rb") as file:
            found = _ArraysOnly(file, encoding="bytes").load()
    except (OSError, EOFError, ValueError, KeyError, IndexError, AttributeError, TypeError, pickle.UnpicklingError) as error:
        raise DataNotFound(f"{path} cannot be read as a CIFAR python batch: {error}.") from None
    if not isinstance(found, dict):
        raise DataNotFound(f"{path} is no CIFAR python batch: it holds a {type(found).__name__}, expected a dictionary.")
    return found


def _images(paths: Sequence[Path], key: bytes) -> ImageSet:
    pixels, labels = [], []
    for path in paths:
        batch = _read(path)
        data, classes = batch.get(b"data"), batch.get(key)
        if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != _PIXELS:
            raise DataNotFound(f"{path} has no data of uint8 [n, {_PIXELS}].")
        if not isinstance(classes, list) or len(classes) != len(data):
            raise DataNotFound(f"{path} has no {key.decode()} for its {len(data)} images.")
        pixels.append(data)
        labels += classes
    images = np.concatenate(pixels).reshape(-1, 3, 32, 32)
    return ImageSet(torch.from_numpy(images), torch.tensor(labels, dtype=torch.int64))


def _names(path: Path, key: bytes) -> tuple[str, ...]:
    names = _read(path).get(key)
    if not isinstance(names, list):
        raise DataNotFound(f"{path} has no {key.decode()}.")
    return tuple(name.decode() for name in names)


def _place(folder: Path | None, name: str) -> Path:
    if folder is None:
        raise DataNotFound("CIFAR needs a data folder: give --data DIR or set NEUMETA_DATA.")
    if not (folder / name).is_dir():
        raise DataNotFound(f"{folder} has no folder {name}, the unpacked python version of the data set.")
    return folder / name
