"""What every INR kind offers, and the noise on coordinates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from neumeta_core.architecture import Architecture, Widths
from neumeta_core.blocks import Block, blocks_of, join, split
from neumeta_core.configuration import Configuration
from neumeta_core.coordinates import encode, positions


@dataclass(frozen=True)
class Noise:
    """Uniform noise on channel positions, from a generator of its own; the global random state is left alone."""

    half_width: float
    """In channels."""
    generator: torch.Generator

    def __call__(self, channels: int) -> Tensor:
        """One value per channel in ``[-half_width, half_width]``: shape ``[channels]``.

        All weights of a channel share its noise, so that the first layer stays separable.
        """
        uniform = torch.rand(channels, generator=self.generator, device=self.generator.device)
        return (2 * uniform - 1) * self.half_width


@dataclass(frozen=True)
class Blur:
    """The mean over all such noise, in closed form at the encoding of the positions."""

    half_width: float
    """In channels."""


def encode_channels(channels: int, extent: int, bands: int, like: Tensor, noise: Noise | Blur | None) -> Tensor:
    """Encoded positions of the first ``channels`` channels on a grid of ``extent``: shape ``[channels, 1 + 2 * bands]``."""
    shift = noise(channels) if isinstance(noise, Noise) else None
    blur = noise.half_width / extent if isinstance(noise, Blur) else 0.0
    return encode(positions(channels, extent, like, shift).unsqueeze(-1), bands, blur)


class INR(nn.Module, ABC):
    """A hypernetwork: widths -> the values of all generated parameters."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.layout: Sequence[Block] = blocks_of(architecture)
        self.full_shapes = [block.shape(architecture.full_widths) for block in self.layout]

    def forward(self, widths: Widths, noise: Noise | Blur | None = None) -> dict[str, Tensor]:
        """Parameter name -> values in the layout of its ONNX initializer, differentiable with respect to the INR."""
        self.check_widths(widths)
        made = self.make_blocks(widths, noise)
        return {parameter.name: join(parameter, made) for parameter in self.architecture.parameters}

    @property
    def levels(self) -> Sequence[Configuration]:
        """Smaller members whose trained weights ``start_from`` takes beside the full network's."""
        return ()

    @property
    def exact(self) -> Sequence[Configuration]:
        """Members that training of the INR leaves as they are."""
        return ()

    def gates(self, widths: Widths) -> list[float]:  # noqa: ARG002  (for kinds that have some)
        """How far the parts of the kind that are not for all members are open at these widths, each in [0, 1]; most kinds have none."""
        return []

    def check_widths(self, widths: Widths) -> None:
        """InvalidField for widths that this kind has no weights for; most kinds extrapolate without end."""

    def start_from(self, parameters: Mapping[str, Tensor], *smaller: Mapping[str, Tensor]) -> None:
        """Take what the kind needs from the trained full network, and from the members of ``levels`` when they are given.

        Each is parameter name -> values at its widths.
        """
        given = [(self.architecture.full_widths, parameters), *zip(self.levels, smaller, strict=bool(smaller))]
        with torch.no_grad():
            for index, block in enumerate(self.layout):
                self.start_block(index, *(split(block.parameter, values[block.parameter.name], widths)[block.name] for widths, values in given))

    @abstractmethod
    def start_block(self, index: int, values: Tensor, *smaller: Tensor) -> None:
        """Take what the kind needs from the values ``[out, in, taps]`` of one block, in the full network and in those of ``levels``."""

    @abstractmethod
    def make_blocks(self, widths: Widths, noise: Noise | Blur | None) -> dict[str, Tensor]:
        """Block name -> values ``[out, in, taps]`` at these widths."""

    @abstractmethod
    def coordinate_parameters(self) -> int:
        """Number of stored values that belong to coordinate networks (the rest are plain weights)."""
