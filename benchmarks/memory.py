"""Peak memory: of a piece of work in this process, and of another process."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from pathlib import Path

import torch

MEGABYTE = 1e6


def peak_of(work: Callable[[], object], device: str = "cpu") -> float | None:
    """Most bytes that ``work`` takes beyond what was there before it; None for a CPU whose system does not tell (all but Linux)."""
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
        before: int = torch.cuda.memory_allocated(device)
        work()
        return torch.cuda.max_memory_allocated(device) - before
    if sys.platform != "linux":
        return None
    ctypes.CDLL(None).malloc_trim(0)  # what was freed before would hide what is taken now
    resident = start_peak()
    work()
    return peak_resident() - resident


def start_peak(process: int | str = "self") -> int:
    """Forget a process's peak (Linux, proc_pid_clear_refs(5)); gives its resident bytes now."""
    Path(f"/proc/{process}/clear_refs").write_text("5")
    return _status(process, "VmRSS")


def peak_resident(process: int | str = "self") -> int:
    """Most resident bytes of a process since ``start_peak``."""
    return _status(process, "VmHWM")


def resident(process: int | str = "self") -> int:
    """Resident bytes of a process now; 0 when it is gone."""
    try:
        return _status(process, "VmRSS")
    except (FileNotFoundError, ProcessLookupError, StopIteration):
        return 0


def _status(process: int | str, name: str) -> int:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
