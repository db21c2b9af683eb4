"""How many threads of the CPU make a member."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from neumeta_core.inr import INR, MlpINR, Sampling

_SMALL = 2**19
"""Values of a network whose operations are too small to be shared: with a second thread they take as long, and it takes a core from others,
for OpenMP's threads stay busy while they wait for the next operation (docs/performance.md, "Threads")."""


def threads_for(inr: INR, sampling: Sampling) -> int:
    """Threads for the members of an INR. It depends on the INR alone where one is enough: then bits do not depend on the number of cores."""
    architecture = inr.architecture
    values = sum(parameter.elements(architecture.full_widths) for parameter in architecture.parameters)
    # The matrix products of coordinate networks are large in every network, and averages repeat everything.
    is_small = values < _SMALL and not isinstance(inr, MlpINR) and not sampling.is_averaged
    return 1 if is_small else torch.get_num_threads()


@contextmanager
def intra_op_threads(count: int) -> Iterator[None]:
    """Have operations of this thread shared by ``count`` threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
