"""Image sets that fit in memory, their splits, and batches that depend on nothing but seed and step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from neumeta_trainer.randomness import generator_for


@dataclass(frozen=True)
class ImageSet:
    """Raw images uint8 ``[n, c, h, w]`` and labels int64 ``[n]``."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: Tensor) -> ImageSet:
        """The images at these positions."""
        return ImageSet(self.images[index], self.labels[index])


@dataclass(frozen=True)
class Splits:
    """A data set with what is needed to prepare its images."""

    name: str
    labels: tuple[str, ...]
    train: ImageSet
    test: ImageSet
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def prepare(self, raw: Tensor) -> Tensor:
        """Raw images -> network input fp32: ``(raw * scale - mean) / std`` per channel, channels last in memory."""
        mean, std = (torch.tensor(values, device=raw.device).view(-1, 1, 1) for values in (self.mean, self.std))
        # Convolutions on CPUs follow their input's layout, and are a third faster in this one.
        return ((raw.float() * self.scale - mean) / std).contiguous(memory_format=torch.channels_last)

    def validation(self, count: int, seed: int = 0) -> tuple[ImageSet, ImageSet]:
        """``(training, validation)``: a fixed random ``count`` training images are set aside; choices are made on them."""
        order = torch.randperm(len(self.train), generator=generator_for("validation", seed))
        return self.train.take(order[count:]), self.train.take(order[:count])


class Batches:
    """Batches of a training set by step number: epochs are fresh permutations, images are shifted by a few pixels.

    ``at(step)`` is a pure function of seed and step, so an interrupted run goes on with exactly the batches it would have seen.
    """

    def __init__(self, data: ImageSet, splits: Splits, size: int, *, seed: int, shift: int = 0) -> None:
        self.data, self.splits, self.size, self.seed, self.shift = data, splits, min(size, len(data)), seed, shift
        self.per_epoch = len(data) // self.size
        self._order: tuple[int, Tensor] = (-1, torch.empty(0))

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """Inputs ``[size, c, h, w]`` fp32 and labels ``[size]`` of this step."""
        epoch, position = divmod(step, self.per_epoch)
        if self._order[0] != epoch:
            self._order = (epoch, torch.randperm(len(self.data), generator=generator_for("epoch", self.seed, epoch)))
        batch = self.data.take(self._order[1][position * self.size : (position + 1) * self.size])
        images = self._shifted(batch.images, step) if self.shift else batch.images
        return self.splits.prepare(images), batch.labels

    def _shifted(self, images: Tensor, step: int) -> Tensor:
        """Every image moved by up to ``shift`` pixels in both directions, filled with zeros."""
        n, channels, height, width = images.shape
        padded = functional.pad(images, (self.shift,) * 4)
        top, left = torch.randint(2 * self.shift + 1, (2, n, 1), generator=generator_for("shift", self.seed, step))
        rows, columns = top + torch.arange(height), left + torch.arange(width)
        index = torch.arange(n).view(n, 1, 1, 1), torch.arange(channels).view(1, channels, 1, 1)
        return padded[index[0], index[1], rows.view(n, 1, height, 1), columns.view(n, 1, 1, width)]
