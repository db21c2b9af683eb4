"""Quality of artifacts: the ONNX files of a curve's members, run in onnxruntime."""

from __future__ import annotations

import logging

import onnxruntime
import torch
from neumeta_core.assembly import assemble
from neumeta_core.configuration import Configuration
from neumeta_core.curve import REFERENCE, CurvePoint
from neumeta_core.errors import AssemblyError
from neumeta_core.manifold import Manifold
from neumeta_core.precision import PRECISIONS

from neumeta_trainer.data import ImageSet, Splits

logger = logging.getLogger(__name__)
_BATCH = 500


def with_all_precisions(manifold: Manifold, data: ImageSet, splits: Splits) -> Manifold:
    """The manifold with every precision measured at every point of its curve, on these images.

    A precision that cannot hold a member's weights, or in which onnxruntime cannot run it, is left out at its point.
    """
    curve = manifold.header.curve
    assert curve is not None
    points = tuple(point.model_copy(update={"quality_in": _other_precisions(manifold, point, data, splits)}) for point in curve.points)
    header = manifold.header.model_copy(update={"curve": curve.model_copy(update={"points": points})})
    return Manifold(header, manifold.inr, manifold.template, manifold.canary)


def artifact_accuracy(artifact: bytes, data: ImageSet, splits: Splits) -> float:
    """Share of images that an ONNX file classifies rightly, on the CPU and with as many threads as torch has."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(artifact, options, providers=["CPUExecutionProvider"])
    name, right = session.get_inputs()[0].name, 0
    for index in torch.split(torch.arange(len(data)), _BATCH):
        batch = data.take(index)
        (logits,) = session.run(None, {name: splits.prepare(batch.images).cpu().contiguous().numpy()})
        right += int((logits.argmax(axis=1) == batch.labels.cpu().numpy()).sum())
    return right / len(data)


def _other_precisions(manifold: Manifold, point: CurvePoint, data: ImageSet, splits: Splits) -> dict[str, float]:
    member = Configuration.of(point.widths)
    weights = manifold.materialize(member)
    measured = {}
    for precision in PRECISIONS:
        if precision == REFERENCE:
            continue
        try:
            artifact = assemble(manifold, member, weights, precision)
        except AssemblyError:
            continue
        try:
            measured[precision] = artifact_accuracy(artifact.data, data, splits)
        except Exception as error:  # onnxruntime has a class for each of its status codes, below Exception.
            logger.warning("onnxruntime cannot run %s in %s, which was not measured: %s", member, precision, error)
    return measured
