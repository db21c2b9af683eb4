"""The loss of a training step, and its gradients: computed step by step, or captured once as a CUDA graph and replayed.

A step of a small network is some thousand short kernels, and starting them takes many times longer than running them. A graph
starts all at once. It always runs the same kernels on the same memory: so what changes from step to step has to be tensors of
fixed shapes, which are copied into place before a replay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Given = tuple[Tensor, ...]
_WARM_UP = 3


@dataclass(frozen=True)
class Objective:
    """A loss in two parts, so that the second can be captured."""

    given: Callable[[int], Given]
    """What a step depends on beside the module: tensors on the CPU, of the same shapes in every step."""
    loss: Callable[..., Tensor]
    """The loss of what was given, on the device; it waits for nothing and depends on nothing else that changes."""
    device: torch.device

    def __call__(self, step: int) -> Tensor:
        """The loss of a step, without a graph."""
        return self.loss(*(tensor.to(self.device) for tensor in self.given(step)))


class CapturedGradients:
    """Loss and gradients of an objective as one CUDA graph. Every call overwrites the results of the one before."""

    def __init__(self, module: nn.Module, objective: Objective, step: int) -> None:
        """``step`` is any step: its tensors serve as examples, and the module is afterwards as it was before."""
        self._objective = objective
        self._parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        self._given = [tensor.to(objective.device) for tensor in objective.given(step)]
        buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
        self._graph = torch.cuda.CUDAGraph()
        with _fastest_kernels():
            stream = torch.cuda.Stream(objective.device)  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.current_stream(objective.device))
            with torch.cuda.stream(stream):
                for _ in range(_WARM_UP):
                    self._compute()
            torch.cuda.current_stream(objective.device).wait_stream(stream)
            with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
                self._value, found = self._compute()
                self._gradients = [_like(gradient, parameter) for gradient, parameter in zip(found, self._parameters, strict=True)]
        with torch.no_grad():
            for name, buffer in module.named_buffers():
                buffer.copy_(buffers[name])

    def __call__(self, step: int) -> Tensor:
        """The loss of a step, which is not waited for; the parameters have its gradients."""
        for place, tensor in zip(self._given, self._objective.given(step), strict=True):
            place.copy_(tensor.pin_memory(), non_blocking=True)
        self._graph.replay()
        for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
            parameter.grad = gradient
        return self._value

    def _compute(self) -> tuple[Tensor, tuple[Tensor | None, ...]]:
        value = self._objective.loss(*self._given)
        return value.detach(), torch.autograd.grad(value, self._parameters, allow_unused=True)


def _like(gradient: Tensor | None, parameter: Tensor) -> Tensor | None:
    """With the strides of its parameter: an optimizer takes the parameters one by one where any two differ."""
    if gradient is None or gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter).copy_(gradient)


@contextmanager
def _fastest_kernels() -> Iterator[None]:
    """Convolutions try all their kernels when they first run, which has to be before a capture."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
