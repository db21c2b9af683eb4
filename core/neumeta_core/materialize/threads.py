"""How many threads of the CPU make a member."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from neumeta_core.inr import INR, MlpINR, Sampling

_SMALL = 2**19
"""Values of a network whose operations are too small to be shared: with a second thread they take as long, and it takes a core from others,
for OpenMP's threads stay busy while they wait for the next operation (docs/performance.md, "Threads")."""


def is_single_threaded(inr: INR, sampling: Sampling) -> bool:
    """Whether one thread makes the members of an INR on a CPU. It depends on the INR alone, so their bits do not depend on the number of cores."""
    architecture = inr.architecture
    values = sum(parameter.elements(architecture.full_widths) for parameter in architecture.parameters)
    # The matrix products of coordinate networks are large in every network, and averages repeat everything.
    return values < _SMALL and not isinstance(inr, MlpINR) and not sampling.is_averaged


@contextmanager
def computing_with(threads: int) -> Iterator[None]:
    """Have so many threads share every operation of this one.

    PyTorch keeps the number for the process too: a thread that computes for the first time meanwhile begins with it. Once it is set, MKL
    takes that many; by itself it takes fewer when it likes.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
