"""Independent pieces of work at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

Work = Callable[..., Tensor]


def side_by_side(work: Work, rows: Tensor, shared: Sequence[Tensor] = ()) -> Tensor:
    """``work(row, *shared)`` of every row, stacked; differentiable with respect to rows and shared tensors.

    On CUDA every row has a stream of its own, forward and backward, so that small kernels run at the same time. The backward pass
    of a row is a call of its own on its stream: what autograd orders by itself between streams comes out wrong in a captured graph.
    """
    stacked: Tensor = _SideBySide.apply(work, rows, *shared)  # type: ignore[no-untyped-call]
    return stacked


class _SideBySide(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, work: Work, rows: Tensor, *shared: Tensor) -> Tensor:
        wanted = ctx.needs_input_grad[1:]
        ctx.leaves = [[tensor.detach().requires_grad_(want) for tensor, want in zip((row, *shared), wanted, strict=True)] for row in rows]
        ctx.results = []
        for leaves in _each_on_its_stream(ctx.leaves, rows.device):
            with torch.enable_grad():
                ctx.results.append(work(*leaves))
        return torch.stack([result.detach() for result in ctx.results])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        items, found = list(zip(ctx.results, ctx.leaves, *gradients, strict=True)), []
        for result, leaves, gradient in _each_on_its_stream(items, gradients[0].device):
            found.append(_gradients(result, leaves, gradient))
        rows, *shared = zip(*found, strict=True)
        return None, _joined(rows), *(None if (joined := _joined(own)) is None else joined.sum(dim=0) for own in shared)


def _joined(gradients: Sequence[Tensor | None]) -> Tensor | None:
    found = [gradient for gradient in gradients if gradient is not None]
    return torch.stack(found) if found else None


def _gradients(result: Tensor, leaves: Sequence[Tensor], gradient: Tensor) -> list[Tensor | None]:
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    found = iter(torch.autograd.grad(result, wanted, gradient))
    return [next(found) if leaf.requires_grad else None for leaf in leaves]


def _each_on_its_stream(items: Sequence[Any], device: torch.device) -> Iterator[Any]:
    """The items one by one; on CUDA the body of the loop runs on a stream of the item, and all are joined at the end."""
    if device.type != "cuda":
        yield from items
        return
    current = torch.cuda.current_stream(device)
    streams = [torch.cuda.Stream(device) for _ in items]  # type: ignore[no-untyped-call]
    for stream, item in zip(streams, items, strict=True):
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            yield item
    for stream in streams:
        current.wait_stream(stream)
