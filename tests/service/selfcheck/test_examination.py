from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from neumeta_core.assembly import assemble
from neumeta_core.header import InputSpec
from neumeta_core.manifold import Canary, Manifold
from neumeta_core.precision import PRECISIONS
from neumeta_core.spec import Spec
from neumeta_service.selfcheck.examination import MAX_CANARIES, fault_of, prepared

from tests.service.selfcheck.judged import SHARED, diverging, judged_manifold

TASKS = Path("/proc/self/task")


def fault(manifold: Manifold, compression: float = 0.0, precision: str = "fp32") -> str | None:
    member = manifold.configure(compression)
    return fault_of(assemble(manifold, member, manifold.materialize(member), precision).data, manifold, Spec.of(manifold, member, precision))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("compression", [0, 0.3, SHARED, 0.75])
def test_a_manifold_that_keeps_its_promises(compression: float, precision: str) -> None:
    assert fault(judged_manifold(), compression, precision) is None


def test_accuracy_far_under_the_curve() -> None:
    manifold = judged_manifold(claims={SHARED: 1.0})
    assert fault(manifold, SHARED) == "it is right on 23 of 64 canary inputs, which is far under the 1.0000 that the curve promises"
    assert fault(manifold, 0) is None
    assert "right on 0 of 64" in str(fault(judged_manifold(shift=1)))


def test_a_curve_that_is_a_little_too_good_passes() -> None:
    assert fault(judged_manifold(claims={SHARED: 0.45}), SHARED) is None


@pytest.mark.parametrize("change", [{"curve": None}, {"task": "regression"}])
def test_what_has_no_promised_accuracy_only_has_to_be_finite(change: dict[str, object]) -> None:
    manifold = judged_manifold(shift=1)
    header = manifold.header.model_copy(update=change)
    assert fault(Manifold(header, manifold.inr, manifold.template, manifold.canary)) is None
    broken = diverging()
    assert fault(Manifold(broken.header.model_copy(update=change), broken.inr, broken.template, broken.canary)) == "its output is not finite"


def test_another_metric_is_no_accuracy() -> None:
    manifold = judged_manifold(shift=1)
    assert manifold.header.curve is not None
    curve = manifold.header.curve.model_copy(update={"metric": "mean squared error"})
    assert fault(Manifold(manifold.header.model_copy(update={"curve": curve}), manifold.inr, manifold.template, manifold.canary)) is None


def test_an_output_of_another_shape() -> None:
    manifold = judged_manifold(labels=("zero", "one"))
    assert fault(manifold) == "its output has shape [64, 3] instead of [64, 2]"


def test_what_cannot_be_loaded_or_run(caplog: pytest.LogCaptureFixture) -> None:
    manifold = judged_manifold()
    member = manifold.configure(0)
    spec = Spec.of(manifold, member, "fp32")
    assert fault_of(b"no model", manifold, spec) == "onnxruntime cannot run it (InvalidProtobuf)"
    model = onnx.load_from_string(assemble(manifold, member, manifold.materialize(member)).data)
    model.graph.node[0].op_type = "Convolve"
    assert fault_of(model.SerializeToString(), manifold, spec) == "onnxruntime cannot run it (InvalidGraph)"
    assert "Convolve" in caplog.text


def test_without_canaries_it_is_loaded() -> None:
    manifold = judged_manifold()
    bare = Manifold(manifold.header, manifold.inr, manifold.template)
    assert fault(bare) is None
    assert fault_of(b"no model", bare, Spec.of(bare, bare.configure(0), "fp32")) is not None


def test_inputs_are_prepared_as_the_header_says() -> None:
    raw = torch.arange(2 * 3 * 2 * 2, dtype=torch.uint8).reshape(2, 3, 2, 2)
    mean, std = (0.1, 0.2, 0.3), (1.0, 2.0, 4.0)
    spec = InputSpec(shape=(3, 2, 2), scale=1 / 255, mean=mean, std=std)
    expected = (raw.numpy() / 255 - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
    np.testing.assert_allclose(prepared(spec, Canary(raw, torch.zeros(2))), expected, rtol=1e-6)
    last = InputSpec(shape=(2, 2, 3), layout="NHWC", scale=1 / 255, mean=mean, std=std)
    channels_last = prepared(last, Canary(raw.permute(0, 2, 3, 1), torch.zeros(2)))
    np.testing.assert_allclose(channels_last, expected.transpose(0, 2, 3, 1), rtol=1e-6)
    one = prepared(InputSpec(shape=(3, 2, 2), mean=(1.0,), std=(2.0,)), Canary(raw.float(), torch.zeros(2)))
    np.testing.assert_allclose(one, (raw.float().numpy() - 1) / 2, rtol=1e-6)


def test_a_file_does_not_decide_how_long_a_check_takes() -> None:
    many = Canary(torch.zeros(MAX_CANARIES + 1, 1, 1, 1), torch.zeros(MAX_CANARIES + 1))
    assert len(prepared(InputSpec(shape=(1, 1, 1)), many)) == MAX_CANARIES


@pytest.mark.skipif(not TASKS.is_dir(), reason="no /proc that lists the threads of a process")
def test_preparing_leaves_no_threads_behind() -> None:
    """With a second pool of OpenMP threads there are more of them than cores, and none waits actively: builds take twice as long."""
    many = Canary(torch.zeros(MAX_CANARIES, 3, 32, 32, dtype=torch.uint8), torch.zeros(MAX_CANARIES))

    def threads_after() -> list[int]:
        torch.set_num_threads(3)
        counts = [len(list(TASKS.iterdir()))]
        prepared(InputSpec(shape=(3, 32, 32)), many)
        return [*counts, len(list(TASKS.iterdir()))]

    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(1) as executor:
            first, last = executor.submit(threads_after).result()
    finally:
        torch.set_num_threads(before)
    assert last == first
