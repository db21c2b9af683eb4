"""Members by replaying a CUDA graph: a few hundred small operations cost the host as much as one.

A graph is recorded once for an INR, at full extents, with the sizes of a member as numbers on the device. So it serves every
member, and whatever was made before, the same operations of the same shapes make it: the same bits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import cycle

import torch
from torch import Tensor

from neumeta_core.configuration import Configuration
from neumeta_core.inr import AnchoredINR, Blur, FactorisedINR
from neumeta_core.materialize.flat import FlatProducts

_LANES = 4
_LARGE = 2**22
"""Values of a network that fills the device alone: it has one lane."""
_WARM_UPS = 3
"""Libraries set themselves up in the first runs, which must not be recorded."""
_RECORDING = threading.Lock()


class CapturedProducts:
    """All parameters of one INR on CUDA, whose parameters do not change any more. May be called from several threads and streams."""

    @torch.no_grad()
    def __init__(self, inr: AnchoredINR | FactorisedINR, blur: Blur | None) -> None:
        self._inr, self._blur = inr, blur
        self._products = FlatProducts(inr, blur)
        full = inr.architecture.full_widths
        lanes = _LANES if self._products.count(full) < _LARGE else 1
        device = next(inr.parameters()).device
        with torch.cuda.device(device), _RECORDING:
            sizes = self._products.sizes(full).to(device)
            self._lanes = cycle([Lane(self._products, sizes) for _ in range(lanes)])
        self._device = device
        self._lock = threading.Lock()

    @torch.no_grad()
    def __call__(self, configuration: Configuration) -> dict[str, Tensor]:
        """Parameter name -> values, which are there when the caller's current stream comes to them; the host does not wait.

        Widths above the full one are not in the graph and go the plain way. InvalidField for widths that the kind cannot make.
        """
        widths = dict(configuration)
        if any(widths[group.name] > group.full for group in self._inr.architecture.groups):
            return {name: values.contiguous() for name, values in self._inr(configuration, self._blur).items()}
        sizes = self._products.sizes(widths).pin_memory()
        with self._lock, torch.cuda.device(self._device):
            values = next(self._lanes).run(sizes, self._products.count(widths))
        return self._products.parts(values, widths)


class Lane:
    """One recorded graph with its stream and its own memory. Members in different lanes are made at the same time."""

    def __init__(self, work: Callable[[Tensor], Tensor], sizes: Tensor) -> None:
        """Record the work on the current device: it must not wait for the device, and what it reads must stay where it is."""
        self._sizes = sizes.clone()
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            for _ in range(_WARM_UPS):
                work(self._sizes)
        self._stream.synchronize()
        self._graph = torch.cuda.CUDAGraph()
        # Other threads may go on: only what this one does is recorded.
        with torch.cuda.graph(self._graph, stream=self._stream, capture_error_mode="thread_local"):
            self._values = work(self._sizes)

    def run(self, sizes: Tensor, count: int) -> Tensor:
        """The first values of the work at other sizes, given in pinned memory: ``[count]``, for the current stream."""
        current = torch.cuda.current_stream()
        with torch.cuda.stream(self._stream):
            self._sizes.copy_(sizes, non_blocking=True)
            self._graph.replay()
            made = self._values[:count].clone()
        current.wait_stream(self._stream)
        made.record_stream(current)
        return made
