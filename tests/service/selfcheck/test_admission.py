"""Manifolds are checked before they are served."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from neumeta_core.manifold import Manifold
from neumeta_service.selfcheck import Inspector
from neumeta_service.telemetry.metrics import Metrics

from tests.service.selfcheck.judged import diverging, judged_manifold, save
from tests.service.serving import in_process, tiny_app
from tests.tiny import save_tiny

pytestmark = pytest.mark.anyio


def checks(metrics: Metrics) -> dict[str, float]:
    found = {result: metrics.registry.get_sample_value("neumeta_self_check_total", {"result": result}) for result in ("passed", "failed", "skipped")}
    return {result: count for result, count in found.items() if count}


async def test_every_precision_of_the_full_and_the_smallest_member_is_checked(tmp_path: Path) -> None:
    save(judged_manifold(), tmp_path)
    app = tiny_app(tmp_path)
    assert checks(app.state.engine.metrics) == {"passed": 6}
    async with in_process(app) as client:
        assert 'neumeta_self_check_total{result="passed"} 6.0' in (await client.get("/metrics")).text


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        (judged_manifold(shift=1, version=2), "compression 0 in fp32: it is right on 0 of 64 canary inputs"),
        (judged_manifold(claims={0.75: 1.0}, version=2), "compression 0.75 in fp32: it is right on 15 of 64 canary inputs"),
    ],
)
async def test_a_version_far_under_its_curve_is_refused_and_the_older_one_served(tmp_path: Path, version: Manifold, reason: str) -> None:
    save_tiny(tmp_path)
    save(version, tmp_path)
    app = tiny_app(tmp_path)
    async with in_process(app) as client:
        served, refused = (await client.get("/v1/models")).json()["models"]
    assert (served["version"], served["state"]) == (1, "ready")
    assert (refused["version"], refused["state"]) == (2, "refused")
    assert f"its self-check failed at {reason}" in refused["reason"]
    assert checks(app.state.engine.metrics)["failed"] == 1


async def test_a_version_whose_networks_are_not_finite_is_refused(tmp_path: Path) -> None:
    save(diverging(), tmp_path, half=False)
    async with in_process(tiny_app(tmp_path)) as client:
        (model,) = (await client.get("/v1/models")).json()["models"]
        assert model["reason"] == "its self-check failed at compression 0 in fp32: its output is not finite."
        assert (await client.get("/readyz")).status_code == 503


def test_a_precision_that_cannot_hold_the_weights_does_not_cost_the_others(caplog: pytest.LogCaptureFixture) -> None:
    manifold, metrics = diverging(), Metrics()
    manifold.canary = None
    Inspector(metrics).admit(manifold)
    assert "tiny version 1 has no fp16 at compression 0.75" in caplog.text
    assert checks(metrics) == {"skipped": 6}


@pytest.mark.parametrize(
    ("mode", "status", "said"),
    [
        ("required", 1, "SettingsError: NEUMETA_SELF_CHECK: onnxruntime cannot be imported (not here); install it with the extra cpu or gpu"),
        ("auto", 0, "No artifact is checked: onnxruntime cannot be imported (not here)"),
        ("off", 0, ""),
    ],
)
def test_without_onnxruntime(tmp_path: Path, mode: str, status: int, said: str) -> None:
    models, hidden = tmp_path / "models", tmp_path / "hidden"
    save(judged_manifold(shift=1), models)
    hidden.mkdir()
    (hidden / "onnxruntime.py").write_text("raise ImportError('not here')")
    start = f"from neumeta_service.app import *; print(len(create_app(Settings(models={str(models)!r}, self_check={mode!r})).state.engine.catalog))"
    path = os.pathsep.join([str(hidden), *sys.path])
    done = subprocess.run([sys.executable, "-c", start], env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert done.stdout == ("1\n" if status == 0 else "")
    assert said in done.stderr
    assert bool(done.stderr) == bool(said)
