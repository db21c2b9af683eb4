from __future__ import annotations

import math

import pytest
import torch
from neumeta_core.coordinates import encode, encode_sizes, octaves, positions, width_ratios

from tests.tiny import tiny_architecture


@pytest.mark.parametrize(("channels", "extent"), [(1, 1), (3, 3), (7, 8), (64, 64), (5, 64)])
def test_positions_lie_in_the_unit_interval_and_equal_a_loop(channels: int, extent: int) -> None:
    made = positions(channels, extent)
    assert made.tolist() == pytest.approx([channel / extent for channel in range(channels)])
    assert made.min() == 0
    assert made.max() < 1


def test_noise_moves_positions_by_channels_and_not_their_extent() -> None:
    noise = torch.tensor([0.5, -0.5, 0.25])
    assert positions(3, 4, noise=noise).tolist() == [0.125, 0.125, 0.5625]


def test_encoding_of_a_hand_computed_example() -> None:
    # v = 1/4, two bands: sin(pi/4), sin(pi/2), cos(pi/4), cos(pi/2).
    half = math.sqrt(0.5)
    assert encode(torch.tensor([0.25]), 2).tolist() == pytest.approx([0.25, half, 1.0, half, 0.0], abs=1e-6)


def test_encoding_equals_a_loop() -> None:
    values, bands = torch.rand(4, 3, generator=torch.Generator().manual_seed(0)), 4
    for row, made in zip(values.tolist(), encode(values, bands).tolist(), strict=True):
        angles = [2**band * math.pi * value for value in row for band in range(bands)]
        assert made == pytest.approx([*row, *map(math.sin, angles), *map(math.cos, angles)], abs=1e-5)


@pytest.mark.parametrize("bands", [0, 1, 5])
def test_encoding_has_the_stated_dimension_and_is_fp32(bands: int) -> None:
    assert encode(torch.rand(2, 6, dtype=torch.bfloat16), bands).shape == (2, 6 * (1 + 2 * bands))
    assert encode(torch.rand(2, 6, dtype=torch.bfloat16), bands).dtype == torch.float32


def test_waves_repeat_after_their_period() -> None:
    values, bands = torch.linspace(0, 1, 17).unsqueeze(-1), 5
    waves, shifted = encode(values, bands)[:, 1:], encode(values + 2, bands)[:, 1:]
    assert torch.allclose(waves, shifted, atol=1e-4)
    for band in range(bands):
        here, there = (encode(moved, bands)[:, 1 + band] for moved in (values, values + 2.0 ** (1 - band)))
        assert torch.allclose(here, there, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 2, 3, 8, 12, 64, 100, 256])
def test_the_bands_tell_neighbours_apart_and_none_is_constant_on_the_grid(channels: int) -> None:
    bands = octaves(channels)
    waves = encode(positions(channels, channels).unsqueeze(-1), bands)
    assert torch.pdist(waves).min() > 0.5 if channels > 1 else bands == 2
    if channels > 1 and channels & (channels - 1) == 0:
        highest, aliased = waves[:, -1], encode(positions(channels, channels).unsqueeze(-1), bands + 1)[:, -1]
        assert highest.std() > 0.5
        assert aliased.std() < 1e-2


def test_sizes_are_ratios_encoded_with_one_band() -> None:
    ratios = width_ratios(tiny_architecture(), {"conv1": 4, "conv2": 9})
    assert ratios.tolist() == [0.5, 0.75]
    half = math.sqrt(0.5)
    assert encode_sizes(ratios).tolist() == pytest.approx([0.5, 0.75, 1.0, half, 0.0, -half], abs=1e-6)
    assert torch.equal(encode_sizes(ratios), encode(ratios, bands=1))


@pytest.mark.parametrize("blur", [0.01, 0.1, 0.7])
def test_blur_is_the_mean_encoding_of_all_values_around(blur: float) -> None:
    values = torch.tensor([[0.0, 0.31], [0.77, 1.2]], dtype=torch.float64)
    around = torch.linspace(-blur, blur, 20001, dtype=torch.float64)
    mean = torch.stack([encode(values + shift, 5) for shift in around]).mean(dim=0)
    assert torch.allclose(encode(values, 5, blur), mean, atol=1e-4)
