"""How alike networks of different width are on the same images: linear CKA of activations, divergence of outputs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from neumeta_trainer.errors import AnalysisRefused

_BATCH = 250
Labelled = Sequence[tuple[str, nn.Module]]
Table = list[list[float]]
CKA_NOTE = "Linear CKA between activations of two networks on the same images: 1 where they agree up to rotation and scale."
KL_NOTE = "Divergence KL(row | column) of the softmax outputs in nats, mean over images."


@torch.no_grad()
def outputs_and_activations(network: nn.Module, inputs: Tensor, layer: str | None = None) -> tuple[Tensor, Tensor]:
    """Logits ``[n, classes]`` and activations ``[n, features]`` on the CPU, in eval mode.

    ``layer`` is the path of a module whose output is taken; None takes what goes into the last Linear. Raises AnalysisRefused for
    a path that the network does not have.
    """
    network.eval()
    kept: list[Tensor] = []
    if layer is None:
        head = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
        handle = head.register_forward_pre_hook(
            lambda _, given, named: kept.append((given[0] if given else named["input"]).flatten(1).cpu()), with_kwargs=True
        )
    else:
        handle = submodule(network, layer).register_forward_hook(lambda _, __, output: kept.append(output.flatten(1).cpu()))
    try:
        logits = torch.cat([network(batch).cpu() for batch in torch.split(inputs, _BATCH)])
    finally:
        handle.remove()
    return logits, torch.cat(kept)


def submodule(network: nn.Module, path: str) -> nn.Module:
    """A part of a network; AnalysisRefused when it has none at this path."""
    try:
        return network.get_submodule(path)
    except AttributeError:
        raise AnalysisRefused(f"the network has no module {path!r}.") from None


def linear_cka(first: Tensor, second: Tensor) -> float:
    """Linear centred kernel alignment (Kornblith et al., ICML 2019) of activations ``[n, p]`` and ``[n, q]`` of the same inputs.

    In [0, 1]; NaN when one of them is the same for all inputs.
    """
    one, other = _gram(first), _gram(second)
    return float((one * other).sum() / (one.norm() * other.norm()))


def _gram(activations: Tensor) -> Tensor:
    """``[n, n]`` inner products of centred activations, in float64."""
    centred = activations.double() - activations.double().mean(dim=0)
    # Rounding of the mean leaves a trace in activations that are the same for all inputs.
    centred[:, activations.eq(activations[0]).all(dim=0)] = 0
    return centred @ centred.T


def divergence(wanted: Tensor, given: Tensor) -> float:
    """Mean over inputs of KL(softmax(wanted) | softmax(given)), in nats, of logits ``[n, classes]``."""
    log_wanted, log_given = (functional.log_softmax(logits.double(), dim=1) for logits in (wanted, given))
    return float(functional.kl_div(log_given, log_wanted, reduction="batchmean", log_target=True))


def compare(networks: Labelled, inputs: Tensor, layer: str | None = None) -> dict[str, Table]:
    """``cka`` and ``kl`` of all pairs of networks on prepared inputs, rows and columns in their order."""
    measured = [outputs_and_activations(network, inputs, layer) for _, network in networks]
    return {
        "cka": [[linear_cka(first, second) for _, second in measured] for _, first in measured],
        "kl": [[divergence(wanted, given) for given, _ in measured] for wanted, _ in measured],
    }
