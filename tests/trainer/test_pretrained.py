"""A ResNet-20 trained elsewhere, with padded shortcuts: a check of the data, and a network that somebody brings."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
import torch
from neumeta_core.configuration import uniform
from neumeta_trainer.data import ImageSet, Splits, load_cifar10
from neumeta_trainer.networks.resnet_cifar import resnet20
from neumeta_trainer.results.evaluate import accuracy
from neumeta_trainer.structure.channel_groups import find_architecture
from neumeta_trainer.structure.fusion import fuse_batch_norm
from neumeta_trainer.structure.resize import resized
from torch import Tensor, nn
from torch.nn import functional


class PaddedShortcut(nn.Module):
    """Every second pixel, and channels of zeros on both sides (He et al., CVPR 2016, option A)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        return functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.channels // 4, self.channels // 4))


def padded_resnet20() -> nn.Module:
    network = resnet20()
    for stage, channels in (("layer2", 32), ("layer3", 64)):
        network.get_submodule(stage)[0].shortcut = PaddedShortcut(channels)
    return network.eval()


def test_inner_widths_of_padded_blocks_morph_and_the_streams_stay():
    network, images = padded_resnet20(), torch.randn(4, 3, 32, 32)
    fused = fuse_batch_norm(network, images)
    found = find_architecture(fused, images)
    assert [group.name for group in found.architecture.groups] == [f"layer{stage}.{block}.conv1" for stage in (1, 2, 3) for block in (0, 1, 2)]
    small = resized(fused, found.architecture, uniform(found.architecture, 0.5), None)
    assert small(images).shape == (4, 10)


@pytest.fixture(scope="module")
def folder() -> Path:
    found = Path(os.environ.get("NEUMETA_DATA", ""))
    if not (found / "pretrained" / "resnet20-cifar10.th").is_file() or not (found / "cifar-10-batches-py").is_dir():
        pytest.skip("NEUMETA_DATA names no folder with cifar-10-batches-py and pretrained/resnet20-cifar10.th")
    return found


def test_the_public_network_reaches_its_accuracy_on_our_data(folder):
    splits = dataclasses.replace(load_cifar10(folder), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    network = padded_resnet20()
    state = torch.load(folder / "pretrained" / "resnet20-cifar10.th", map_location="cpu", weights_only=True)
    weights = state.get("state_dict", state)
    network.load_state_dict({name.removeprefix("module.").replace("linear.", "head."): values for name, values in weights.items()})
    assert accuracy(network, splits.test, splits) == pytest.approx(0.9173, abs=0.0005)
    # Without normalization it is the same network.
    few = first(splits, 1000)
    assert accuracy(fuse_batch_norm(network, splits.prepare(few.images[:2])), few, splits) == accuracy(network, few, splits)


def first(splits: Splits, count: int) -> ImageSet:
    return splits.test.take(torch.arange(count))
