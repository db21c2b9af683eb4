"""Onnxruntime as it is measured: on the processor, with a known number of threads, one node after the other."""

from __future__ import annotations

from functools import partial
from typing import Any, Callable

from neumeta_client._errors import MissingExtra

PROVIDERS = ["CPUExecutionProvider"]


def require_onnxruntime() -> Any:
    """The module. Raises MissingExtra."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtra("onnxruntime is not installed; measuring needs it: pip install 'neumeta-client[run]'.") from error
    return onnxruntime


def session_options(threads: int) -> Any:
    """``SessionOptions``: so many threads within a node, and no nodes side by side."""
    onnxruntime = require_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    return options


def single_call(network: bytes, input_name: str, shape: tuple[int, ...], threads: int) -> Callable[[], object]:
    """A function that runs the network on one sample of random numbers; ``shape`` is without the batch axis."""
    onnxruntime = require_onnxruntime()
    import numpy as np

    session = onnxruntime.InferenceSession(network, session_options(threads), providers=PROVIDERS)
    sample = np.random.default_rng(0).standard_normal((1, *shape), dtype=np.float32)
    return partial(session.run, None, {input_name: sample})
