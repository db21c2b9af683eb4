"""Image sets that fit in memory, their splits, and batches that depend on nothing but seed and step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

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
        mean, std = (_by_channel(values, raw.device) for values in (self.mean, self.std))
        return ((raw.float() * self.scale - mean) / std).contiguous(memory_format=self.memory_format)

    def validation(self, count: int) -> tuple[ImageSet, ImageSet]:
        """``(training, validation)``: a fixed random ``count`` training images are set aside; choices are made on them."""
        order = torch.randperm(len(self.train), generator=generator_for("validation", 0))
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
        return self.made(*(drawn.to(self.data.labels.device) for drawn in self.drawn(step)))

    def drawn(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """What chance says of this step, on the CPU: positions of the images ``[n]``, their shifts ``[2, n]``, which are mirrored ``[n]``."""
        epoch, position = divmod(step, self.per_epoch)
        if self._order[0] != epoch:
            self._order = (epoch, torch.randperm(len(self.data), generator=generator_for("epoch", self.seed, epoch)))
        index = self._order[1][position * self.size : (position + 1) * self.size]
        shifts, mirrored = torch.zeros(2, self.size, dtype=torch.int64), torch.zeros(self.size, dtype=torch.bool)
        if self.shift:
            shifts = torch.randint(2 * self.shift + 1, (2, self.size), generator=generator_for("shift", self.seed, step))
        if self.flip:
            mirrored = torch.rand(self.size, generator=generator_for("flip", self.seed, step)) < 0.5
        return index[self._share], shifts[:, self._share], mirrored[self._share]

    def made(self, index: Tensor, shifts: Tensor, mirrored: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs and labels of what was drawn, on the device; nothing here waits for it."""
        batch = self.data.take(index)
        images = self._shifted(batch.images, *shifts) if self.shift else batch.images
        images = torch.where(mirrored.view(-1, 1, 1, 1), images.flip(3), images) if self.flip else images
        return self.splits.prepare(images), batch.labels

    def _shifted(self, images: Tensor, top: Tensor, left: Tensor) -> Tensor:
        """Every image moved by up to ``shift`` pixels in both directions, filled with zeros."""
        n, channels, height, width = images.shape
        padded = functional.pad(images, (self.shift,) * 4)
        first, second, vertical, horizontal = (torch.arange(size, device=images.device) for size in images.shape)
        rows, columns = top.view(n, 1) + vertical, left.view(n, 1) + horizontal
        return padded[first.view(n, 1, 1, 1), second.view(1, channels, 1, 1), rows.view(n, 1, height, 1), columns.view(n, 1, 1, width)]


@lru_cache(maxsize=64)
def _by_channel(values: tuple[float, ...], device: torch.device) -> Tensor:
    """``[c, 1, 1]``, kept: making it waits for the device."""
    return torch.tensor(values, device=device).view(-1, 1, 1)
