"""Values that fp16 cannot hold: whoever asks for it is told so, and every other precision is served."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import numpy as np
import onnx
import pytest

from tests.service.serving import POST, HeavyManifold, in_process, tiny_app
from tests.service.test_problems import problem
from tests.surgery import with_template
from tests.tiny import save_tiny

pytestmark = pytest.mark.anyio
PLAN = "/v1/models/tiny/plan"
HALF = {"compression": 0.5}
SELECTIONS = [HALF, {"widths": {"conv1": 5, "conv2": 7}}, {"budget": {"bytes": 5000}}, {"rung": "small"}]


def reason(refused: httpx.Response) -> str:
    """What is expected in place of fp16."""
    [error] = problem(refused, 422, "invalid_request")["errors"]
    assert (error["field"], error["value"]) == ("precision", "fp16")
    expected: str = error["expected"]
    return expected


def enlarge(template: onnx.ModelProto) -> None:
    [bias] = [initializer for initializer in template.graph.initializer if initializer.name == "head.bias"]
    bias.CopyFrom(onnx.numpy_helper.from_array(np.full(3, 66_000, np.float32), "head.bias"))


async def test_weights_that_are_made(models: Path, caplog: pytest.LogCaptureFixture) -> None:
    manifold = HeavyManifold.load(models / "tiny" / "1" / "manifold.safetensors")
    async with in_process(tiny_app(models, manifold)) as client:
        assert "beyond 65504, the largest of fp16" in reason(await client.post(POST, json=HALF | {"precision": "fp16"}))
        assert "building" not in caplog.text, "it is no fault of the service"
        for precision in ("fp32", "int8"):
            assert (await client.post(POST, json=HALF | {"precision": precision})).status_code == 200


async def test_weights_that_the_template_holds(tmp_path: Path) -> None:
    path = save_tiny(tmp_path)
    path.write_bytes(with_template(path.read_bytes(), enlarge))
    (tmp_path / "tiny" / "rungs.json").write_text(json.dumps({"small": {"budget": {"bytes": 5000}}}))
    async with in_process(tiny_app(tmp_path)) as client:
        for route in (POST, PLAN):
            for selection in SELECTIONS:
                assert "'head.bias' holds values beyond 65504" in reason(await client.post(route, json=selection | {"precision": "fp16"}))
                assert (await client.post(route, json=selection)).status_code == 200
