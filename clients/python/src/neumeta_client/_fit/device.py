"""What the figures of a measurement belong to."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

from neumeta_client._errors import InvalidRequest, MissingExtra
from neumeta_client._fit.runtime import require_onnxruntime

CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Device:
    """Runtime with its version, threads that a call may use, and the processor's name."""

    runtime: str
    threads: int
    processor: str


def describe_device(threads: int | None) -> Device:
    """This device, with so many threads, by default one for each processor that this process may use. Raises InvalidRequest."""
    if threads is not None and (not isinstance(threads, int) or isinstance(threads, bool) or threads < 1):
        raise InvalidRequest(f"threads: {threads!r} is not allowed; expected a positive integer.")
    return Device(_runtime(), _processors() if threads is None else threads, _processor())


def _runtime() -> str:
    try:
        return f"onnxruntime {require_onnxruntime().__version__}"
    except MissingExtra:
        return "unknown"  # Then somebody else's function measures.


def _processors() -> int:
    # Not every system can say which processors this process may use.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    """By /proc/cpuinfo, where x86 has a ``model name`` and many an ARM board a ``Model``."""
    try:
        named = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", CPUINFO.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    except OSError:
        named = None
    return named[1].strip() if named else platform.processor() or platform.machine()
