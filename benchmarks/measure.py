"""Repeated times and the machine's matrix rate."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from neumeta_core.device import resolve_device
from neumeta_core.materialize import computing_with
from report import text

MATRICES = {"[4096, 256] x [256, 256]": (4096, 256, 256), "1024^3": (1024, 1024, 1024)}
"""Products ``[m, k] x [k, n]`` by name: that of a hidden layer on many coordinates, and a large square one."""


@dataclass(frozen=True)
class Timing:
    """Seconds over repeated runs."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Timing:
        return cls(statistics.median(seconds), min(seconds), max(seconds))

    def scaled(self, factor: float) -> Timing:
        return Timing(factor * self.median, factor * self.lowest, factor * self.highest)

    @property
    def spread(self) -> str:
        """Lowest to highest, as tables show it."""
        return f"{text(self.lowest)} to {text(self.highest)}"


def timed(work: Callable[[], object], runs: int, device: str = "cpu") -> Timing:
    """``work`` once unmeasured, then ``runs`` times; on CUDA until the device is done."""
    seconds = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        work()
        synchronize(device)
        seconds.append(time.perf_counter() - start)
    return Timing.of(seconds[1:])


def synchronize(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def devices(asked: str) -> list[str]:
    """``auto``: the CPU, and CUDA where there is one; else what was asked for. DeviceUnavailable when it is not there."""
    if asked != "auto":
        return [str(resolve_device(asked))]
    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


def matrix_rates(device: str = "cpu", dtype: torch.dtype = torch.float32, *, one_thread: bool = False) -> dict[str, float]:
    """Multiply-adds per second of each of ``MATRICES``, with the modes of this process: on one thread, or on all that it has."""
    with computing_with(1) if one_thread else nullcontext():
        return {name: m * k * n / _product(m, k, n, device, dtype).median for name, (m, k, n) in MATRICES.items()}


def _product(m: int, k: int, n: int, device: str, dtype: torch.dtype) -> Timing:
    left, right = torch.ones(m, k, dtype=dtype, device=device), torch.ones(k, n, dtype=dtype, device=device)
    return timed(lambda: left @ right, 20, device)
