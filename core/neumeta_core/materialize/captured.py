"""Members by replaying one CUDA graph: a few hundred small operations cost the host as much as one.

The graph is recorded once for an INR, at full extents, with the sizes of a member as numbers on the device. So it serves every
member, and whatever was made before, the same operations of the same shapes make it: the same bits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import torch
from torch import Tensor

from neumeta_core.configuration import Configuration
from neumeta_core.inr import AnchoredINR, Blur, FactorisedINR
from neumeta_core.materialize.flat import FlatProducts

_WARM_UPS = 3
"""Libraries set themselves up in the first runs, which must not be recorded."""
_RECORDING = threading.Lock()


class CapturedProducts:
    """All parameters of one INR on CUDA, whose parameters do not change any more. May be called from several threads and streams."""

    @torch.no_grad()
    def __init__(self, inr: AnchoredINR | FactorisedINR, blur: Blur | None) -> None:
        self._inr, self._blur = inr, blur
        self._products = FlatProducts(inr, blur)
        self._device = next(inr.parameters()).device
        self._lock = threading.Lock()
        with torch.cuda.device(self._device):
            self._sizes = self._products.sizes(inr.architecture.full_widths).to(self._device)
            self._graph, self._values = capture(lambda: self._products(self._sizes))
            self._is_read = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._is_read.record()

    @torch.no_grad()
    def __call__(self, configuration: Configuration) -> dict[str, Tensor]:
        """Parameter name -> values, when the caller's current stream comes to it; the host does not wait.

        Widths above the full one are not in the graph and go the plain way. InvalidField for widths that the kind cannot make.
        """
        widths = dict(configuration)
        if any(widths[group.name] > group.full for group in self._inr.architecture.groups):
            return {name: values.contiguous() for name, values in self._inr(configuration, self._blur).items()}
        # Freed before it was read, pinned memory is kept from reuse until then.
        sizes = self._products.sizes(widths).pin_memory()
        with self._lock, torch.cuda.device(self._device):
            stream = torch.cuda.current_stream()
            stream.wait_event(self._is_read)  # the member before, perhaps on another stream
            self._sizes.copy_(sizes, non_blocking=True)
            self._graph.replay()
            made = self._products.cut(self._values, widths)
            self._is_read.record(stream)
        return made


def capture(work: Callable[[], Tensor]) -> tuple[torch.cuda.CUDAGraph, Tensor]:
    """The graph of some work on the current device, and the tensor that every replay of it fills.

    The work must not wait for the device; what it reads must stay where it is.
    """
    with _RECORDING:
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UPS):
                work()
        stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        # Other threads may go on: only what this one does is recorded.
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            made = work()
        torch.cuda.current_stream().wait_stream(stream)
    return graph, made
