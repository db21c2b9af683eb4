"""The same POST on a CUDA device and on the CPU."""

from __future__ import annotations

import anyio
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from neumeta_service.app import create_app
from neumeta_service.settings import Settings

from tests.service.serving import POST, in_process

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine"), pytest.mark.anyio]


async def weights_on(device: str, models, compression: float) -> tuple[bytes, dict[str, np.ndarray]]:
    async with in_process(create_app(Settings(models=models, device=device))) as client:
        answer = (await client.post(POST, json={"compression": compression})).raise_for_status()
    model = onnx.load_from_string(answer.content)
    return answer.content, {initializer.name: onnx.numpy_helper.to_array(initializer) for initializer in model.graph.initializer}


@pytest.mark.parametrize("compression", [0.0, 0.3, 0.75])
async def test_both_devices_make_the_same_weights_within_1e_5(models, compression):
    _, cpu = await weights_on("cpu", models, compression)
    _, cuda = await weights_on("cuda", models, compression)
    assert cpu.keys() == cuda.keys()
    for name, values in cpu.items():
        assert np.abs(values - cuda[name]).max() <= 1e-5, name


async def test_many_sizes_at_once_are_the_bytes_of_one_after_the_other(models):
    selections = [{"widths": {"conv1": one, "conv2": two}} for one in range(2, 9) for two in range(3, 10)]
    together: dict[str, bytes] = {}
    async with in_process(create_app(Settings(models=models, device="cuda"))) as client:

        async def ask(selection: dict[str, dict[str, int]]) -> None:
            together[str(selection)] = (await client.post(POST, json=selection)).raise_for_status().content

        async with anyio.create_task_group() as tasks:
            for selection in selections:
                tasks.start_soon(ask, selection)
    async with in_process(create_app(Settings(models=models, device="cuda"))) as client:
        for selection in selections[::-1]:
            assert (await client.post(POST, json=selection)).raise_for_status().content == together[str(selection)]


async def test_the_artifact_runs_on_the_cuda_provider_of_onnxruntime(models):
    data, _ = await weights_on("cuda", models, 0.5)
    inputs = np.random.default_rng(0).standard_normal((4, 1, 8, 8)).astype(np.float32)
    session = onnxruntime.InferenceSession(data, providers=["CUDAExecutionProvider"])
    assert session.get_providers()[0] == "CUDAExecutionProvider"
    reference = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    assert np.allclose(session.run(None, {"input": inputs})[0], reference.run(None, {"input": inputs})[0], atol=1e-3)
