from __future__ import annotations

from pathlib import Path

import pytest

from tests.service.redis_server import RedisServer
from tests.service.serving import POST, in_process, tiny_app

pytestmark = pytest.mark.anyio


async def test_alive_and_ready_are_two_things(tmp_path: Path, models: Path) -> None:
    async with in_process(tiny_app(tmp_path)) as client:
        assert (await client.get("/livez")).json() == {"status": "alive"}
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
    async with in_process(tiny_app(models)) as client:
        assert (await client.get("/readyz")).json() == {"status": "ready"}


async def test_redis_does_not_count(models: Path, redis_server: RedisServer) -> None:
    redis_server.kill()
    async with in_process(tiny_app(models, redis_url=redis_server.url)) as client:
        await client.post(POST, json={"compression": 0.5})
        assert (await client.get("/livez")).status_code == 200
        assert (await client.get("/readyz")).status_code == 200


async def test_metrics(models: Path) -> None:
    async with in_process(tiny_app(models)) as client:
        for compression in (0.5, 0.5, 0.3):
            await client.post(POST, json={"compression": compression})
        answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    for line in (
        'neumeta_requests_total{operation="materialize",outcome="built"} 2.0',
        'neumeta_requests_total{operation="materialize",outcome="memory"} 1.0',
        'neumeta_cache_requests_total{result="hit",tier="memory"} 1.0',
        'neumeta_cache_requests_total{result="miss",tier="memory"} 2.0',
        'neumeta_materialize_seconds_count{stage="inr"} 2.0',
        'neumeta_materialize_seconds_count{stage="onnx"} 2.0',
        'neumeta_materialize_seconds_count{stage="queue"} 2.0',
        'neumeta_request_seconds_count{operation="materialize"} 3.0',
        "neumeta_inflight 1.0",
        "neumeta_queue_depth 0.0",
        "neumeta_artifact_bytes_count 2.0",
        'neumeta_model_info{name="tiny",version="1"} 1.0',
    ):
        assert line in lines
    assert any(line.startswith("neumeta_gpu_memory_bytes ") for line in lines)
    assert "sha256" not in answer.text


async def test_two_apps_in_one_process_count_apart(models: Path) -> None:
    async with in_process(tiny_app(models)) as one, in_process(tiny_app(models)) as other:
        await one.get("/livez")
        assert 'operation="get_livez"' in (await one.get("/metrics")).text
        assert 'operation="get_livez"' not in (await other.get("/metrics")).text


async def test_what_is_refused_at_the_start_is_counted_from_then_on(tmp_path: Path) -> None:
    (tmp_path / "tiny" / "1").mkdir(parents=True)
    async with in_process(tiny_app(tmp_path)) as client:
        assert "neumeta_models_refused 1.0" in (await client.get("/metrics")).text.splitlines()
