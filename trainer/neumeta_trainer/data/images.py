"""Image sets that fit in memory, their splits, and batches that depend on nothing but seed and step."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from neumeta_trainer.compute import Compute
from neumeta_trainer.processes import Processes
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
        index = index.to(self.labels.device)
        return ImageSet(self.images[index], self.labels[index])

    def to(self, device: torch.device) -> ImageSet:
        """The same images on a device."""
        return ImageSet(self.images.to(device), self.labels.to(device))


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
    memory_format: torch.memory_format = torch.contiguous_format
    """Of the inputs that are prepared."""

    def to(self, compute: Compute) -> Splits:
        """The same images in the memory of the device that trains, prepared in its layout."""
        moved = self.train.to(compute.device), self.test.to(compute.device)
        return replace(self, train=moved[0], test=moved[1], memory_format=compute.memory_format)

    def prepare(self, raw: Tensor) -> Tensor:
        """Raw images -> network input fp32: ``(raw * scale - mean) / std`` per channel."""
        mean, std = (torch.tensor(values, device=raw.device).view(-1, 1, 1) for values in (self.mean, self.std))
        return ((raw.float() * self.scale - mean) / std).contiguous(memory_format=self.memory_format)

    def validation(self, count: int, seed: int = 0) -> tuple[ImageSet, ImageSet]:
        """``(training, validation)``: a fixed random ``count`` training images are set aside; choices are made on them."""
        order = torch.randperm(len(self.train), generator=generator_for("validation", seed))
        return self.train.take(order[count:]), self.train.take(order[:count])


class Batches:
    """Batches of a training set by step number: epochs are fresh permutations, images are shifted by a few pixels and mirrored.

    ``at(step)`` is a pure function of seed and step, so an interrupted run goes on with exactly the batches it would have
    seen. All work is done on the device that holds the images. Of several processes each gets its share of the batch.
    """

    def __init__(
        self, data: ImageSet, splits: Splits, size: int, *, seed: int, shift: int = 0, flip: bool = False, processes: Processes | None = None
    ) -> None:
        self.data, self.splits, self.size, self.seed = data, splits, min(size, len(data)), seed
        self.shift, self.flip = shift, flip
        self._share = (processes or Processes()).share(self.size)
        self.per_epoch = len(data) // self.size
        self._order: tuple[int, Tensor] = (-1, torch.empty(0))

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """Inputs ``[n, c, h, w]`` fp32 and labels ``[n]`` of this step, ``n`` being this process's share of ``size``."""
        epoch, position = divmod(step, self.per_epoch)
        if self._order[0] != epoch:
            self._order = (epoch, torch.randperm(len(self.data), generator=generator_for("epoch", self.seed, epoch)))
        batch = self.data.take(self._order[1][position * self.size : (position + 1) * self.size][self._share])
        images = self._shifted(batch.images, step) if self.shift else batch.images
        images = self._mirrored(images, step) if self.flip else images
        return self.splits.prepare(images), batch.labels

    def _shifted(self, images: Tensor, step: int) -> Tensor:
        """Every image moved by up to ``shift`` pixels in both directions, filled with zeros."""
        n, channels, height, width = images.shape
        padded = functional.pad(images, (self.shift,) * 4)
        drawn = torch.randint(2 * self.shift + 1, (2, self.size, 1), generator=generator_for("shift", self.seed, step))
        top, left = drawn[:, self._share].to(images.device)
        rows, columns = (start + torch.arange(size, device=images.device) for start, size in ((top, height), (left, width)))
        index = torch.arange(n).view(n, 1, 1, 1), torch.arange(channels).view(1, channels, 1, 1)
        return padded[index[0], index[1], rows.view(n, 1, height, 1), columns.view(n, 1, 1, width)]

    def _mirrored(self, images: Tensor, step: int) -> Tensor:
        """Every image mirrored left to right with probability one half."""
        chosen = torch.rand(self.size, generator=generator_for("flip", self.seed, step)) < 0.5
        return torch.where(chosen[self._share].to(images.device).view(-1, 1, 1, 1), images.flip(3), images)
