"""INR + configuration -> weights: a pure function."""

from __future__ import annotations

import torch
from torch import Tensor

from neumeta_core.configuration import Configuration
from neumeta_core.inr import INR, Blur, Noise, Sampling


@torch.no_grad()
def materialize(inr: INR, configuration: Configuration, sampling: Sampling) -> dict[str, Tensor]:
    """Parameter name -> fp32 values at this configuration, in the layout of the ONNX initializer.

    With ``sampling.count`` K > 1 the mean over K passes, the first without noise on the coordinates (paper eq. 9); with
    ``sampling.integrated`` one pass over encodings that are averaged in closed form. The noise is drawn on the CPU, so that it
    is the same on every device. The same arguments give the same bits on the same kind of device; the global random state is
    neither read nor changed.
    """
    total = inr(configuration, Blur(sampling.noise) if sampling.integrated else None)
    if not sampling.is_averaged:
        return {name: values.contiguous() for name, values in total.items()}
    noise = Noise(sampling.noise, torch.Generator().manual_seed(sampling.seed))
    for _ in range(sampling.count - 1):
        for name, values in inr(configuration, noise).items():
            total[name] = total[name] + values
    return {name: (values / sampling.count).contiguous() for name, values in total.items()}
