"""Layers that give the same in all members of a network: they have to run but once for all of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from neumeta_core.architecture import Architecture, Widths
from torch import Tensor, nn
from torch.func import functional_call

from neumeta_trainer.structure.resize import at_widths, sliced


class SharedLayers:
    """The outermost modules of a network in which members agree.

    Found by running the full network and the smallest member on ``example``, a batch of inputs: what such a module gives is the same in
    both, depends on no parameter of ``architecture``, and is not changed in place afterwards; and it is called once. The network's own
    forward pass runs for every member all the same, so whatever else it does is not touched.
    """

    def __init__(self, network: nn.Module, architecture: Architecture, example: Tensor) -> None:
        full, least = (_outputs(network, architecture, widths, example) for widths in (architecture.full_widths, architecture.smallest_widths))
        self.paths: list[str] = []
        for path, module in network.named_modules():
            inside = any(path.startswith(f"{outer}.") for outer in self.paths)
            if not inside and "forward" not in vars(module) and _agree(full[module], least[module]):
                self.paths.append(path)
        self._modules = [network.get_submodule(path) for path in self.paths]

    @contextmanager
    def once(self) -> Iterator[None]:
        """Inside the block each of them runs once, at its first call and without gradients, and gives the same again whatever it is given."""
        try:
            for module in self._modules:
                module.forward = _kept(module.forward)
            yield
        finally:
            for module in self._modules:
                vars(module).pop("forward", None)


def _kept(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    kept: list[Tensor] = []

    @torch.no_grad()
    def call(*args: Any, **kwargs: Any) -> Tensor:
        if not kept:
            kept.append(forward(*args, **kwargs))
        return kept[0]

    return call


Outputs = dict[nn.Module, list[tuple[Any, int]]]


def _outputs(network: nn.Module, architecture: Architecture, widths: Widths, example: Tensor) -> Outputs:
    """What every module gives in a member, one entry a call, with the tensor's version at that time."""
    found: Outputs = defaultdict(list)

    def record(module: nn.Module, _: Any, output: Any) -> None:
        found[module].append((output, output._version if isinstance(output, Tensor) else 0))

    weights = {name: value.detach() for name, value in sliced(architecture, dict(network.named_parameters()), widths).items()}
    for name in architecture.by_name:
        weights[name].requires_grad_()
    hooks = [module.register_forward_hook(record) for module in network.modules()]
    try:
        with at_widths(network, architecture, widths):
            functional_call(network, weights, (example,))
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _agree(one: list[tuple[Any, int]], other: list[tuple[Any, int]]) -> bool:
    """Whether these are of one call each, which gave the same tensor that depends on nothing that differs and stayed as it was."""
    calls = [*one, *other]
    if len(one) != 1 or len(other) != 1 or not all(isinstance(output, Tensor) for output, _ in calls):
        return False
    return not any(output.requires_grad or output._version != version for output, version in calls) and torch.equal(one[0][0], other[0][0])
