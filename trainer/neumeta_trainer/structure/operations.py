"""What a network computes, as text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map


@torch.no_grad()
def operations(network: nn.Module, example: Tensor) -> str:
    """The network's layers, and what a forward pass does with an example on its device: every operation with all that it is given.

    The values of tensors are not told, only which is which. Code that says the same in another way gives the same text.
    """
    listing = _Listing([*network.parameters(), *network.buffers(), example])
    with listing:
        network(example)
    # Functions are shown with their place in memory, which is another one in every process.
    return re.sub(r"0x[0-9a-f]+", "", "\n".join([repr(network), *listing.lines]))


class _Listing(TorchDispatchMode):
    """Lists the operations that run inside of it; tensors are numbered, the known ones first."""

    def __init__(self, known: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.lines: list[str] = []
        self._tensors: dict[int, tuple[int, Tensor]] = {}  # kept, for what is freed leaves its id to the next one
        for tensor in known:
            self._named(tensor)

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        given = tree_map(self._named, (args, kwargs or {}))
        output = func(*args, **(kwargs or {}))
        self.lines.append(f"{func} of {given} is {tree_map(self._named, output)}")
        return output

    def _named(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        number, _ = self._tensors.setdefault(id(value), (len(self._tensors), value))
        return f"tensor {number}, {value.dtype} {tuple(value.shape)}"
