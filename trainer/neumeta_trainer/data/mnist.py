"""MNIST from its standard IDX files."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
import torch

from neumeta_trainer.data.images import ImageSet, Splits
from neumeta_trainer.errors import DataNotFound

_FOLDERS = ("MNIST/raw", "mnist", ".")


def load_mnist(folder: Path | None) -> Splits:
    """60,000 training and 10,000 test digits ``[1, 28, 28]`` from ``FOLDER/MNIST/raw/*-ubyte`` (also gzipped)."""
    return Splits(
        name="mnist",
        labels=tuple("0123456789"),
        train=_read_split(folder, "train"),
        test=_read_split(folder, "t10k"),
        scale=1 / 255,
        mean=(0.1307,),
        std=(0.3081,),
    )


def _read_split(folder: Path | None, prefix: str) -> ImageSet:
    images = read_idx(_find(folder, f"{prefix}-images-idx3-ubyte"))
    labels = read_idx(_find(folder, f"{prefix}-labels-idx1-ubyte"))
    if images.ndim != 3 or len(images) != len(labels):
        raise DataNotFound(f"the {prefix} files of MNIST do not belong together: {len(images)} images, {len(labels)} labels.")
    return ImageSet(torch.from_numpy(images).unsqueeze(1), torch.from_numpy(labels.astype(np.int64)))


def _find(folder: Path | None, name: str) -> Path:
    if folder is None:
        raise DataNotFound("MNIST needs a data folder: give --data DIR or set NEUMETA_DATA.")
    for candidate in (folder / sub / f"{name}{end}" for sub in _FOLDERS for end in ("", ".gz")):
        if candidate.is_file():
            return candidate
    raise DataNotFound(f"{name} is not in {folder}; expected it in {folder / _FOLDERS[0]}, plain or gzipped.")


def read_idx(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """An IDX file of unsigned bytes (magic 0x0000 08 dims, big-endian sizes); DataNotFound when it is not whole."""
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataNotFound(f"{path} cannot be read: {error}.") from None
    if len(data) < 4 or data[:3] != b"\0\0\x08" or len(data) < 4 + 4 * data[3]:
        raise DataNotFound(f"{path} is no IDX file of unsigned bytes.")
    dims = np.frombuffer(data, ">u4", data[3], 4)
    values = np.frombuffer(data, np.uint8, offset=4 + 4 * data[3])
    if len(values) != np.prod(dims, dtype=np.int64):
        raise DataNotFound(f"{path} is cut: {len(values)} values, its header says {' x '.join(map(str, dims))}.")
    return values.reshape(tuple(int(size) for size in dims)).copy()
