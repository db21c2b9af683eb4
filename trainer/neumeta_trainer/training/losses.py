"""The losses of manifold training (paper eq. 10) and distillation."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional


def distillation(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """``T^2 KL(teacher || student)`` of softmaxed logits ``[n, classes]``, mean over samples; no gradient to the teacher."""
    target = functional.log_softmax(teacher.detach() / temperature, dim=1)
    prediction = functional.log_softmax(student / temperature, dim=1)
    return functional.kl_div(prediction, target, reduction="batchmean", log_target=True) * temperature**2


def reconstruction(made: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Tensor:
    """Mean over parameters of the squared error, relative to the mean square of the wanted values.

    Relative, so that a layer of small weights counts as much as one of large weights. Zero exactly when all values agree.
    """
    errors = [(made[name] - values).square().mean() / values.square().mean().clamp_min(1e-8) for name, values in wanted.items()]
    return torch.stack(errors).mean()


def regularization(made: Mapping[str, Tensor]) -> Tensor:
    """Sum over parameters of the L2 norm (paper eq. 10); its gradient at zero is zero."""
    return torch.stack([torch.linalg.vector_norm(values) for values in made.values()]).sum()
