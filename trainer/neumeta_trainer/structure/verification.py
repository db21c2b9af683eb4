"""Proof by running it that a network can be resized as its architecture says.

The dependency graph reads a network's autograd trace and can be wrong about code that it does not know. So the network
is run, in double precision and on random inputs, with its channels in another order (the function must stay) and at
other widths (it must run, and give outputs of the same shape).
"""

from __future__ import annotations

import copy
from collections.abc import Collection

import torch
from neumeta_core.architecture import Architecture, ChannelGroup
from neumeta_core.errors import NetworkUnsupported
from torch import Tensor, nn
from torch.func import functional_call

from neumeta_trainer.structure.layers import perturbed
from neumeta_trainer.structure.ordering import permuted
from neumeta_trainer.structure.resize import at_widths, sliced
from neumeta_trainer.structure.tracing import first_line

_TOLERANCE = 1e-9
_SEEDS = (1, 2)


class Verification:
    """Runs a network with groups in another order and at other widths. The network itself is left alone."""

    def __init__(self, network: nn.Module, example: Tensor) -> None:
        generator = torch.Generator().manual_seed(0)
        self._twin = copy.deepcopy(network).eval().double()
        self._twin.load_state_dict(perturbed(self._twin.state_dict(), generator))
        self._tensors = {**dict(self._twin.named_parameters()), **dict(self._twin.named_buffers())}
        self._inputs = torch.randn((3, *example.shape[1:]), generator=generator, dtype=torch.float64).to(example.device)
        try:
            self._outputs, again = self._run(self._tensors), self._run(self._tensors)
        except Exception as error:
            name = type(network).__name__
            raise NetworkUnsupported(f"{name} does not run in eval mode on a batch of three float64 inputs: {first_line(error)}") from error
        if not torch.isfinite(self._outputs).all():
            raise NetworkUnsupported(f"{type(network).__name__}: outputs on random inputs are not finite, so nothing can be checked.")
        if not torch.equal(self._outputs, again):
            raise NetworkUnsupported(f"{type(network).__name__}: equal inputs give different outputs in eval mode; turn the randomness off there.")

    def failure(self, architecture: Architecture, groups: Collection[str]) -> str | None:
        """What goes wrong when only these groups are reordered or resized; None when all is well."""
        chosen = [group for group in architecture.groups if group.name in groups]
        for seed in _SEEDS:
            failure = self._reordered(architecture, chosen, seed) or self._resized(architecture, chosen, seed)
            if failure:
                return failure
        return None

    def _reordered(self, architecture: Architecture, groups: Collection[ChannelGroup], seed: int) -> str | None:
        generator = torch.Generator().manual_seed(seed)
        order = {group.name: list(range(group.full)) for group in architecture.groups}
        order |= {group.name: torch.randperm(group.full, generator=generator).tolist() for group in groups}
        try:
            outputs = self._run(permuted(architecture, self._tensors, order))
        except Exception as error:
            return f"with its channels in another order the network fails: {first_line(error)}"
        change = (outputs - self._outputs).abs().max() / self._outputs.abs().max().clamp_min(1e-30)
        return f"another order of its channels changes the output (by {float(change):.1g} of its size)" if change > _TOLERANCE else None

    def _resized(self, architecture: Architecture, groups: Collection[ChannelGroup], seed: int) -> str | None:
        generator = torch.Generator().manual_seed(seed)
        widths = architecture.full_widths | {group.name: _smaller(group, generator) for group in groups}
        asked = ", ".join(f"{group.name}={widths[group.name]}" for group in groups)
        try:
            with at_widths(self._twin, architecture, widths):
                outputs = self._run(sliced(architecture, self._tensors, widths))
        except Exception as error:
            return f"the network does not run at {asked}: {first_line(error)}"
        if outputs.shape != self._outputs.shape:
            return f"at {asked} the output has the shape {tuple(outputs.shape)} instead of {tuple(self._outputs.shape)}"
        return None

    @torch.no_grad()
    def _run(self, tensors: dict[str, Tensor]) -> Tensor:
        output: Tensor = functional_call(self._twin, tensors, (self._inputs.clone(),))
        return output


def _smaller(group: ChannelGroup, generator: torch.Generator) -> int:
    """A width below the full one that was trained for, as the generator draws it."""
    steps = (group.full - group.minimum) // group.granularity
    return group.full - group.granularity * (1 + int(torch.randint(steps, (), generator=generator)))
