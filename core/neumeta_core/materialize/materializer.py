"""Which fast path serves which INR."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from neumeta_core.blocks import join
from neumeta_core.configuration import Configuration
from neumeta_core.inr import INR, AnchoredINR, Blur, FactorisedINR, MlpINR, Sampling
from neumeta_core.materialize.captured import CapturedProducts
from neumeta_core.materialize.products import ChannelProducts
from neumeta_core.materialize.reference import materialize
from neumeta_core.materialize.tiles import CoordinateTiles


class Materializer(Protocol):
    """Makes the weights of any member of one INR's family."""

    def __call__(self, configuration: Configuration) -> dict[str, Tensor]:
        """Parameter name -> fp32 values in the layout of its ONNX initializer, on the INR's device.

        What it computes depends on this configuration alone, never on those before it: so the same bits come out every time.
        """


def prepare(inr: INR, sampling: Sampling, dtype: torch.dtype = torch.float32) -> Materializer:
    """The fastest materializer for an INR whose parameters do not change any more: some are copied, some are not.

    ``dtype`` is that of large matrix products; encodings, small networks and results are fp32 always. Averages over
    samples (``sampling.count``) go the plain way, for their noise is drawn anew for every channel.
    """
    if sampling.is_averaged:
        return lambda configuration: materialize(inr, configuration, sampling)
    blur = Blur(sampling.noise) if sampling.integrated else None
    if isinstance(inr, MlpINR):
        return _joined(inr, CoordinateTiles(inr, blur, dtype))
    if isinstance(inr, AnchoredINR | FactorisedINR):
        on_cuda = next(inr.parameters()).device.type == "cuda"
        return CapturedProducts(inr, blur) if on_cuda else _joined(inr, ChannelProducts(inr, blur))
    raise TypeError(f"no materializer for {type(inr).__name__}")


def _joined(inr: INR, blocks: ChannelProducts | CoordinateTiles) -> Materializer:
    """What makes blocks, as what makes parameters."""

    @torch.no_grad()
    def make(configuration: Configuration) -> dict[str, Tensor]:
        made = blocks(configuration)
        return {parameter.name: join(parameter, made).contiguous() for parameter in inr.architecture.parameters}

    return make
