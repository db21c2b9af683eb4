"""One artifact, loaded in onnxruntime and run on the canaries of its manifold."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from neumeta_core.header import InputSpec
from neumeta_core.manifold import Canary, Manifold
from neumeta_core.spec import Spec
from numpy.typing import NDArray

from neumeta_service.selfcheck.bound import is_far_under

logger = logging.getLogger(__name__)
MAX_CANARIES = 256
"""Of a file that holds more, the first ones are run: no file decides how long a check takes."""
_PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")
_ERROR = 3


def fault_of(artifact: bytes, manifold: Manifold, spec: Spec) -> str | None:
    """What is wrong with an artifact, as the rest of a sentence about it; None when nothing is.

    Without canaries it is only loaded. Right answers are counted when the task is classification and a curve promises an accuracy.
    """
    try:
        session = _session(artifact)
        if manifold.canary is None:
            return None
        inputs = prepared(manifold.header.input, manifold.canary)
        (outputs,) = session.run([manifold.header.output.name], {manifold.header.input.name: inputs})
    except Exception as error:  # onnxruntime has a class for each of its status codes, below Exception.
        logger.error("onnxruntime cannot run %s: %s", spec, error)
        return f"onnxruntime cannot run it ({type(error).__name__})"
    return _fault_in(outputs, manifold, spec)


def prepared(spec: InputSpec, canary: Canary) -> NDArray[np.float32]:
    """Input samples as the network takes them, ``[n, *shape]``: ``(raw * scale - mean) / std``, both for each channel."""
    # By NumPy: an operation of PyTorch in this thread would leave OpenMP threads behind, more than cores with those of the device worker.
    raw = canary.inputs[:MAX_CANARIES].numpy().astype(np.float32)
    ends = [-1 if axis == "C" else 1 for axis in spec.layout] if len(spec.mean) > 1 or len(spec.std) > 1 else [-1]
    mean, std = (np.array(values, np.float32).reshape(ends) for values in (spec.mean, spec.std))
    return np.ascontiguousarray((raw * np.float32(spec.scale) - mean) / std, dtype=np.float32)


def _session(artifact: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = _ERROR
    available = onnxruntime.get_available_providers()
    return onnxruntime.InferenceSession(artifact, options, providers=[name for name in _PROVIDERS if name in available])


def _fault_in(outputs: NDArray[Any], manifold: Manifold, spec: Spec) -> str | None:
    assert manifold.canary is not None
    labels = manifold.canary.labels[:MAX_CANARIES].numpy()
    expected = (len(labels), len(manifold.header.labels)) if manifold.header.labels else (len(labels), *outputs.shape[1:])
    if outputs.shape != expected:
        return f"its output has shape {list(outputs.shape)} instead of {list(expected)}"
    if not np.isfinite(outputs).all():
        return "its output is not finite"
    promise, curve = manifold.quality(spec.widths, spec.precision), manifold.header.curve
    if curve is None or promise.value is None or not _is_accuracy(promise.metric, promise.value, manifold, outputs.ndim, labels.ndim):
        return None
    right = int((outputs.argmax(axis=1) == labels).sum())
    if not is_far_under(right, len(labels), promise.value, curve.samples):
        return None
    return f"it is right on {right} of {len(labels)} canary inputs, which is far under the {promise.value:.4f} that the curve promises"


def _is_accuracy(metric: str | None, value: float, manifold: Manifold, output_rank: int, label_rank: int) -> bool:
    return manifold.header.task == "classification" and metric == "accuracy" and 0 <= value <= 1 and (output_rank, label_rank) == (2, 1)
