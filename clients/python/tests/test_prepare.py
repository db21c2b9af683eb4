from __future__ import annotations

import numpy as np
import pytest

from neumeta_client import Input, InvalidRequest

CHANNELS_FIRST = Input("input", (3, 4, 5), "NCHW", 1 / 255, (0.5, 0.25, 0.0), (0.5, 1.0, 2.0))
CHANNELS_LAST = Input("input", (4, 5, 3), "NHWC", 1 / 255, (0.5, 0.25, 0.0), (0.5, 1.0, 2.0))


def test_each_channel_has_its_own_mean_and_spread():
    prepared = CHANNELS_FIRST.prepare(np.full((3, 4, 5), 255, dtype=np.uint8))
    assert (prepared.shape, prepared.dtype) == ((1, 3, 4, 5), np.float32)
    assert [float(prepared[0, channel, 0, 0]) for channel in range(3)] == pytest.approx([1.0, 0.75, 0.5])


def test_the_layout_says_where_the_channels_are():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 5)).astype(np.uint8)
    last = CHANNELS_LAST.prepare(pixels.transpose(0, 2, 3, 1))
    assert np.array_equal(last.transpose(0, 3, 1, 2), CHANNELS_FIRST.prepare(pixels))


def test_lists_will_do():
    assert Input("input", (1, 1, 2), "NCHW", 1.0, (0.0,), (1.0,)).prepare([[[1, 2]]]).tolist() == [[[[1.0, 2.0]]]]


@pytest.mark.parametrize("shape", [(4, 5), (3, 5, 4), (1, 3, 4), (2, 2, 3, 4, 5)])
def test_another_shape_is_refused(shape):
    with pytest.raises(InvalidRequest, match="pixels"):
        CHANNELS_FIRST.prepare(np.zeros(shape))
