"""Pixels into what a network is fed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from neumeta_client._errors import InvalidRequest, MissingExtra

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import ArrayLike, NDArray


def prepare(pixels: ArrayLike, *, shape: Sequence[int], layout: str, scale: float, mean: Sequence[float], std: Sequence[float]) -> NDArray[float32]:
    """``(pixels * scale - mean) / std`` channel by channel, float32, with a leading batch axis; see ``Input.prepare``."""
    try:
        import numpy as np
    except ImportError as error:
        raise MissingExtra("numpy is not installed; prepare() needs it: pip install 'neumeta-client[run]'.") from error
    batch = np.asarray(pixels, dtype=np.float32)
    batch = batch[np.newaxis] if batch.shape == tuple(shape) else batch
    if batch.shape[1:] != tuple(shape):
        raise InvalidRequest(f"pixels: the shape {np.shape(pixels)} is not allowed; expected {tuple(shape)}, or several of them with a leading axis.")
    channels = (-1, 1, 1) if layout == "NCHW" else (-1,)
    middle, spread = (np.array(values, dtype=np.float32).reshape(channels) for values in (mean, std))
    prepared: NDArray[float32] = (batch * np.float32(scale) - middle) / spread
    return prepared
