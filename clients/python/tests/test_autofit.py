from __future__ import annotations

import json
import os
import pickle
import random
import sys
from hashlib import sha256
from pathlib import Path
from typing import Callable

import pytest

from neumeta_client import (
    Artifact,
    BudgetImpossible,
    CacheError,
    Device,
    FitImpossible,
    IntegrityError,
    InvalidRequest,
    Latency,
    MeasurementFailed,
    Meter,
    MissingExtra,
    NeuMetaClientError,
)
from neumeta_client._fit.memory import memory_growth
from neumeta_client._fit.runtime import require_onnxruntime

STEP = 1 / 32


def milliseconds(function: Callable[[float], float]) -> Callable[[Artifact], Latency]:
    """A device that takes so long at each compression, and half as long again in the 95th percentile."""
    return lambda artifact: Latency(function(artifact.manifest.compression.effective), 1.5 * function(artifact.manifest.compression.effective), 40)


def digest_of(path: Path) -> str:
    return f"sha256:{sha256(path.read_bytes()).hexdigest()}"


def asked(service) -> list[dict[str, object]]:
    return [json.loads(body) for method, _, _, body in service.requests if method == "POST"]


@pytest.mark.parametrize("limit", [1.5, 2.5, 4.0, 7.0, 9.99])
@pytest.mark.parametrize("overhead", [0.0, 0.5])
def test_the_largest_size_in_time_is_found(client, service, limit, overhead):
    def time(compression):
        return overhead + (10 - overhead) * (1 - compression) ** 2

    fit = client.autofit("lenet-mnist", latency_ms=limit, metric="p50", measure=milliseconds(time))
    compression = fit.artifact.manifest.compression.effective
    assert fit.latency_ms == time(compression) <= limit
    assert time(compression - STEP) > limit
    assert service.count("materialize") == service.count("artifact") == len(fit.report.candidates) <= 6
    assert [candidate.fits for candidate in fit.report.candidates] == [candidate.latency.p50_ms <= limit for candidate in fit.report.candidates]


def test_the_wanted_metric_counts(client):
    measure = milliseconds(lambda compression: 10 * (1 - compression))
    by_median, by_percentile = (client.autofit("lenet-mnist", latency_ms=6, metric=metric, measure=measure) for metric in ("p50", "p95"))
    assert by_median.latency_ms == pytest.approx(10 * (1 - by_median.artifact.manifest.compression.effective))
    assert by_percentile.latency_ms == pytest.approx(15 * (1 - by_percentile.artifact.manifest.compression.effective))
    assert by_percentile.artifact.manifest.compression.effective == pytest.approx(0.6, abs=STEP)
    assert by_median.artifact.manifest.compression.effective == pytest.approx(0.4, abs=STEP)


def test_a_full_network_that_is_fast_enough_is_the_only_pull(client, service):
    fit = client.autofit("lenet-mnist", latency_ms=4, measure=milliseconds(lambda _: 1.0))
    assert [body["compression"] for body in asked(service)] == [0]
    assert (fit.artifact.manifest.compression.effective, fit.latency_ms) == (0, 1.5)


def test_when_all_are_too_slow_the_error_says_how_fast_it_got(client, service):
    with pytest.raises(FitImpossible, match=r"stays within latency_ms 4 on this device; the lowest latency reached is 9 ms by p95") as caught:
        client.autofit("lenet-mnist", latency_ms=4, measure=milliseconds(lambda compression: 7 - compression / 0.75))
    assert caught.value.lowest_latency_ms == 9
    assert asked(service)[-1]["compression"] == 0.75
    assert service.count("materialize") == len(caught.value.report.candidates) <= 3
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.report) == (str(caught.value), caught.value.report)


@pytest.mark.parametrize("edge", [0.001, 0.3, 0.6, 0.749])
def test_a_device_that_slows_down_in_one_step(client, service, edge):
    fit = client.autofit("lenet-mnist", latency_ms=4, measure=milliseconds(lambda compression: 1.0 if compression >= edge else 80.0))
    assert edge <= fit.artifact.manifest.compression.effective < edge + STEP
    assert service.count("materialize") <= 6


@pytest.mark.parametrize("seed", range(5))
def test_noise_never_gives_what_was_too_slow(client, service, seed):
    draw = random.Random(seed)
    fit = client.autofit("lenet-mnist", latency_ms=4, measure=milliseconds(lambda compression: draw.uniform(0.8, 1.3) * 8 * (1 - compression)))
    assert fit.latency_ms <= 4
    assert [candidate.latency.p95_ms for candidate in fit.report.candidates if candidate.fits].count(fit.latency_ms) == 1
    assert service.count("materialize") <= 6


def test_the_report_says_what_was_measured(client):
    fit = client.autofit("lenet-mnist", latency_ms=4, precision="fp16", threads=3, measure=milliseconds(lambda compression: 8 * (1 - compression)))
    report = fit.report
    assert (report.model, report.version, report.precision, report.goal.latency_ms, report.goal.metric) == ("lenet-mnist", 1, "fp16", 4, "p95")
    first = report.candidates[0]
    assert (first.compression, first.params, first.macs, first.bytes, first.quality, first.fits) == (0, 17000, 1900000, 262144, 0.991, False)
    assert first.latency == Latency(8, 12, 40)
    assert isinstance(report.device, Device)
    assert (report.device.threads, report.device.runtime) == (3, f"onnxruntime {require_onnxruntime().__version__}")
    assert report.device.processor


def test_every_pull_is_of_the_version_that_the_first_one_had(client, service):
    measure = milliseconds(lambda compression: 8 * (1 - compression))
    client.autofit("lenet-mnist", latency_ms=4, version="stable", measure=measure)
    versions = [body.get("version") for body in asked(service)]
    assert versions == ["stable", *[1] * (len(versions) - 1)]
    assert service.requests[0][1].endswith("?version=stable")


def test_an_artifact_is_measured_once(client, service):
    measured = []

    def measure(artifact):
        measured.append(artifact.digest)
        return Latency(5, 5, 40)

    service.make = lambda _: b"one for all sizes"
    with pytest.raises(FitImpossible) as caught:
        client.autofit("lenet-mnist", latency_ms=4, measure=measure)
    assert len(measured) == len(caught.value.report.candidates) == 1


def test_what_was_found_is_there_though_the_cache_had_no_room_for_it(call, service, cache):
    measured = []

    def measure(artifact):
        """As if measuring took longer than others wait before they remove a file."""
        os.utime(artifact.path, (0, artifact.path.stat().st_mtime))
        measured.append(artifact.manifest.compression.effective)
        return Latency(10 * (1 - measured[-1]) ** 2, 99, 40)

    fit = call(url=service.url, cache=cache, cache_limit=0).autofit("lenet-mnist", latency_ms=4, metric="p50", measure=measure)
    assert measured[-1] != fit.artifact.manifest.compression.effective == 0.375, "another one was pulled after it"
    assert digest_of(fit.artifact.path) == fit.artifact.digest
    assert len(measured) == len(set(measured)) == len(fit.report.candidates)
    assert service.count("materialize") == len(measured) + 1
    assert asked(service)[-1] == {"compression": 0.375, "precision": "fp32", "version": 1}


def test_bytes_are_asked_of_the_service(client, service):
    def bigger_is_wider(body):
        compression = body.get("compression", 0.5)
        return b"x" * round(100_000 * (1 - compression)) + repr(compression).encode()

    service.make = bigger_is_wider
    fit = client.autofit("lenet-mnist", latency_ms=99, max_bytes=60_000, measure=milliseconds(lambda _: 1.0))
    assert asked(service) == [{"budget": {"bytes": 60_000}, "precision": "fp32"}]
    assert fit.artifact.manifest.size <= 60_000
    fit = client.autofit("lenet-mnist", latency_ms=4, max_bytes=60_000, measure=milliseconds(lambda compression: 10 * (1 - compression)))
    assert fit.artifact.manifest.compression.effective == pytest.approx(0.75 - STEP, abs=STEP)
    fit = client.autofit("lenet-mnist", latency_ms=7.4, max_bytes=60_000, measure=milliseconds(lambda compression: 10 * (1 - compression)))
    assert fit.artifact.manifest.compression.effective == pytest.approx(0.507, abs=STEP)
    assert all(body["compression"] > 0.5 for body in asked(service) if "compression" in body)


def test_a_file_that_is_too_large_does_not_fit_though_the_service_gave_it(client, service):
    service.make = lambda body: b"x" * (60_001 if body.get("compression", 0) < 0.6 else 50_000)
    fit = client.autofit("lenet-mnist", latency_ms=4, max_bytes=60_000, measure=milliseconds(lambda _: 1.0))
    assert fit.artifact.manifest.size == 50_000


def test_bytes_that_no_size_has_are_an_impossible_budget(client, service):
    service.on("materialize", service.problem("budget_impossible", 422, smallest={"bytes": 17000}))
    with pytest.raises(BudgetImpossible):
        client.autofit("lenet-mnist", latency_ms=4, max_bytes=1, measure=milliseconds(lambda _: 1.0))


def test_memory_is_a_limit_like_time(client):
    def measure(artifact):
        return Latency(1, 1, 40, memory_bytes=round(1_000_000 * (1 - artifact.manifest.compression.effective)))

    fit = client.autofit("lenet-mnist", latency_ms=4, max_memory_bytes=500_000, measure=measure)
    assert fit.artifact.manifest.compression.effective == pytest.approx(0.5, abs=STEP)
    with pytest.raises(InvalidRequest, match="memory_bytes"):
        client.autofit("lenet-mnist", latency_ms=4, max_memory_bytes=500_000, measure=milliseconds(lambda _: 1.0))
    with pytest.raises(FitImpossible, match=r"latency_ms 4, max_memory_bytes 100000 on this device; .*, the least memory 250000 bytes\.$"):
        client.autofit("lenet-mnist", latency_ms=4, max_memory_bytes=100_000, measure=measure)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"latency_ms": 0}, "latency_ms"),
        ({"latency_ms": float("inf")}, "latency_ms"),
        ({"latency_ms": True}, "latency_ms"),
        ({"latency_ms": "4"}, "latency_ms"),
        ({"latency_ms": 4, "metric": "p99"}, "metric.*p50 or p95"),
        ({"latency_ms": 4, "max_bytes": 0}, "max_bytes"),
        ({"latency_ms": 4, "max_memory_bytes": 1.5}, "max_memory_bytes"),
        ({"latency_ms": 4, "threads": 0}, "threads"),
    ],
)
def test_what_is_not_allowed_is_an_error_before_any_request(client, service, arguments, named):
    with pytest.raises(InvalidRequest, match=named):
        client.autofit("lenet-mnist", **arguments)
    assert service.requests == []


def test_a_fault_of_the_measuring_function_reaches_the_caller(client):
    def measure(_):
        raise LookupError("the meter fell off")

    with pytest.raises(LookupError, match="fell off"):
        client.autofit("lenet-mnist", latency_ms=4, measure=measure)


def test_a_model_that_tells_no_groups_is_searched_all_the_same(client, service):
    service.on("model", lambda handler, data: handler.answer(200, "application/json", json.dumps({**json.loads(data), "groups": []}).encode()))
    fit = client.autofit("lenet-mnist", latency_ms=6, metric="p50", measure=milliseconds(lambda compression: 10 * (1 - compression)))
    assert fit.artifact.manifest.compression.effective == pytest.approx(0.4, abs=STEP)


def test_a_network_is_measured_in_onnxruntime(client, service, classifier):
    service.make = lambda _: classifier()
    fit = client.autofit("lenet-mnist", latency_ms=1e9, max_memory_bytes=1 << 30, threads=1)
    (candidate,) = fit.report.candidates
    assert 0 < candidate.latency.p50_ms <= candidate.latency.p95_ms == fit.latency_ms
    assert candidate.latency.runs >= 40
    assert candidate.latency.memory_bytes >= 0
    assert fit.session().get_inputs()[0].name == "input"


def test_no_file_of_the_working_directory_is_run(client, service, classifier, monkeypatch, tmp_path):
    service.make = lambda _: classifier()
    (tmp_path / "selectors.py").write_text("raise SystemExit('a file of the working directory was run')")
    monkeypatch.chdir(tmp_path)
    assert client.autofit("lenet-mnist", latency_ms=1e9, max_memory_bytes=1 << 30, threads=1).report.candidates[0].fits


@pytest.mark.usefixtures("millisecond_calls")
def test_memory_grows_with_the_network(client, service, classifier):
    service.make = lambda body: classifier(0 if body["compression"] else 1_000_000)
    with pytest.raises(FitImpossible) as caught:
        client.autofit("lenet-mnist", latency_ms=4, max_memory_bytes=1, threads=1)
    large, small = caught.value.report.candidates
    assert large.latency.memory_bytes - small.latency.memory_bytes > 2 * 40_000_000
    assert small.latency.memory_bytes < 30_000_000, "what Python and onnxruntime take does not count"


def test_a_network_that_does_not_run_is_an_error_of_this_package(client):
    with pytest.raises(MeasurementFailed, match=r"lenet-mnist-1-.*\.onnx does not run in onnxruntime"):
        client.autofit("lenet-mnist", latency_ms=4)
    with pytest.raises(NeuMetaClientError):
        client.bench("lenet-mnist")


def test_a_file_that_was_changed_is_not_measured(client, service, classifier):
    service.make = lambda body: classifier(round(10 * body["compression"]))
    artifact, other = (client.pull("lenet-mnist", compression=compression) for compression in (0.1, 0.2))
    artifact.path.write_bytes(other.path.read_bytes())
    with pytest.raises(IntegrityError, match="was changed"):
        Meter(threads=1)(artifact)
    with pytest.raises(MeasurementFailed, match="IntegrityError"):
        memory_growth(artifact, 1)
    artifact.path.unlink()
    with pytest.raises(CacheError, match=artifact.path.name):
        Meter(threads=1)(artifact)


def test_without_onnxruntime_nothing_is_asked_of_the_service(client, service, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtra, match=r"neumeta-client\[run\]"):
        client.autofit("lenet-mnist", latency_ms=4)
    assert service.requests == []
    fit = client.autofit("lenet-mnist", latency_ms=4, measure=milliseconds(lambda _: 1.0))
    assert fit.report.device.runtime == "unknown"
