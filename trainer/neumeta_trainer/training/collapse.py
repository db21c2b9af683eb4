"""Tells when generated weights left the range in which a network can work."""

from __future__ import annotations

from collections.abc import Mapping

from neumeta_core.architecture import Architecture
from neumeta_core.configuration import Configuration
from torch import Tensor

from neumeta_trainer.errors import TrainingCollapsed

LOWEST, HIGHEST = 0.3, 3.0


def check_scale(architecture: Architecture, configuration: Configuration, made: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """Raise TrainingCollapsed when the norm of a generated weight is not within 0.3 to 3 times that of the wanted one.

    Vectors are left out: a bias may rightly be near zero. The message names the parameter, the widths and the ratio.
    """
    for parameter in architecture.parameters:
        if parameter.in_dim is None:
            continue
        ratio = float(made[parameter.name].norm() / wanted[parameter.name].norm().clamp_min(1e-12))
        if not LOWEST <= ratio <= HIGHEST:
            raise TrainingCollapsed(
                f"{parameter.name} at {configuration} has {ratio:.3g} times the norm of the weights it should replace; "
                f"expected {LOWEST} to {HIGHEST}. More warm-start steps or a smaller learning rate help."
            )


def check_predictions(configuration: Configuration, logits: Tensor) -> None:
    """Raise TrainingCollapsed when a member gives the same logits for every input of a batch."""
    if logits.shape[0] > 1 and float(logits.detach().std(dim=0).max()) < 1e-4:
        raise TrainingCollapsed(f"the member {configuration} gives the same output for every input. A smaller learning rate helps.")
