from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import replace

import pytest

from neumeta_client import AccessRefused, AsyncClient, InvalidRequest, Latency, ProfileNotFound, ServiceError


def measure(artifact):
    width = 1 - artifact.manifest.compression.effective
    return Latency(4 * width, 6 * width, 40)


def test_bench_measures_a_ladder(client, service):
    profile = client.bench("lenet-mnist", points=4, precision="fp16", threads=2, measure=measure)
    assert (profile.model, profile.version, profile.precision, profile.metric, profile.device.threads) == ("lenet-mnist", 1, "fp16", "p95", 2)
    assert [point.compression for point in profile.points] == [0, 0.25, 0.5, 0.75]
    assert [point.latency.p50_ms for point in profile.points] == [4, 3, 2, 1]
    assert {point.quality for point in profile.points} == {0.991}
    assert service.count("artifact") == 4


def test_sizes_that_come_to_the_same_network_count_once_as_the_first_that_was_asked_for(client, service):
    service.manifest_changes = {"compression": {"requested": None, "effective": 0.5}}
    assert [point.compression for point in client.bench("lenet-mnist", points=4, measure=measure).points] == [0]


def test_bench_with_nothing_else_measures_in_onnxruntime(client, service, classifier):
    service.make = lambda _: classifier()
    first, last = client.bench("lenet-mnist", points=2, threads=1).points
    assert (first.compression, last.compression) == (0, 0.75)
    assert first.latency.runs >= 40


@pytest.mark.parametrize("arguments", [{"points": 1}, {"points": 201}, {"points": 2.5}, {"points": True}, {"metric": "mean"}, {"threads": -1}])
def test_what_is_not_allowed_is_an_error_before_any_request(client, service, arguments):
    with pytest.raises(InvalidRequest, match=next(iter(arguments))):
        client.bench("lenet-mnist", measure=measure, **arguments)
    assert service.requests == []


@pytest.mark.parametrize("status", [200, 201, 204])
def test_a_profile_is_published(client, service, status):
    profile = client.bench("lenet-mnist", points=4, metric="p50", threads=2, measure=measure)
    service.on("profile", service.reply(status, "application/json", b""))
    assert client.publish_profile(profile, device="pi4") is None
    method, path, headers, body = service.requests[-1]
    assert (method, path, headers["content-type"]) == ("PUT", "/v1/models/lenet-mnist/profiles/pi4", "application/json")
    assert json.loads(body) == {
        "version": 1,
        "precision": "fp32",
        "metric": "p50",
        "runtime": profile.device.runtime,
        "threads": 2,
        "batch": 1,
        "points": [{"compression": at, "latency_ms": ms} for at, ms in ((0, 4), (0.25, 3), (0.5, 2), (0.75, 1))],
    }


def test_a_profile_tells_the_metric_that_it_was_made_for(client, service):
    client.publish_profile(client.bench("lenet-mnist", points=2, measure=measure), device="pi4")
    assert json.loads(service.requests[-1][3])["points"][0] == {"compression": 0, "latency_ms": 6}


@pytest.mark.parametrize("device", ["", "../x", "Pi 4", "a/b", "x" * 65, None])
def test_a_device_name_that_cannot_be_is_not_sent(client, service, device):
    profile = client.bench("lenet-mnist", points=2, measure=measure)
    count = len(service.requests)
    with pytest.raises(InvalidRequest, match="device"):
        client.publish_profile(profile, device=device)
    with pytest.raises(InvalidRequest, match="name"):
        client.publish_profile(replace(profile, model="../x"), device="pi4")
    assert len(service.requests) == count


@pytest.mark.parametrize(
    ("code", "status", "kind"), [("forbidden", 403, AccessRefused), ("invalid_request", 422, InvalidRequest), ("internal_error", 500, ServiceError)]
)
def test_a_profile_that_is_refused_is_an_error(client, service, code, status, kind):
    profile = client.bench("lenet-mnist", points=2, measure=measure)
    service.on("profile", service.problem(code, status))
    with pytest.raises(kind, match=code):
        client.publish_profile(profile, device="pi4")


@pytest.mark.parametrize("method", ["pull", "manifest"])
def test_a_budget_of_time_is_asked_of_the_service(client, service, method):
    getattr(client, method)("lenet-mnist", budget={"latency_ms": 4, "device": "pi4"})
    assert json.loads(service.requests[0][3])["budget"] == {"latency_ms": 4, "device": "pi4"}
    service.on("materialize", service.problem("profile_not_found", 404))
    with pytest.raises(ProfileNotFound, match="profile_not_found"):
        getattr(client, method)("lenet-mnist", budget={"latency_ms": 4, "device": "pi5"})


def test_the_event_loop_goes_on_while_a_network_is_measured(service, cache):
    begun, go_on = threading.Event(), threading.Event()

    def waiting(artifact):
        begun.set()
        assert go_on.wait(300)
        return measure(artifact)

    async def both():
        async with AsyncClient(service.url, cache=cache) as client:
            fit = asyncio.ensure_future(client.autofit("lenet-mnist", latency_ms=99, measure=waiting))
            await asyncio.get_running_loop().run_in_executor(None, begun.wait, 300)
            assert await client.models()
            go_on.set()
            return await fit

    assert asyncio.run(both()).latency_ms == 6
