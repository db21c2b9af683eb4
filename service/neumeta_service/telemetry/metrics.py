"""Prometheus metrics of one app. Labels are bounded: never a width, a digest or anything else that a client chooses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from functools import cache
from time import perf_counter

import torch
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CACHE_ERRORS = ("timeout", "connection", "response", "protocol", "disk", "corrupt")
RELOADS = ("ok", "refused", "failed")
SELF_CHECKS = ("passed", "failed", "skipped")
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_BYTES = tuple(4**power for power in range(5, 15))


class Metrics:
    """All instruments, in a registry of their own so that two apps in one process do not meet."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "neumeta_requests",
            "Requests by operation and outcome (cache tier, ok, problem code, disconnected, cancelled).",
            ["operation", "outcome"],
            registry=registry,
        )
        # Looking a series up takes longer than counting in it, so those of every request are looked up once.
        self.requests_of = cache(self.requests.labels)
        self.request_seconds = Histogram(
            "neumeta_request_seconds", "Seconds from a request to the end of its answer.", ["operation"], buckets=_SECONDS, registry=registry
        )
        self.request_seconds_of = cache(self.request_seconds.labels)
        self.cache_requests = Counter(
            "neumeta_cache_requests", "Cache look-ups by tier and result (hit, miss, error, skipped).", ["tier", "result"], registry=registry
        )
        self.cache_errors = Counter(
            "neumeta_cache_errors", f"Failures of the shared cache by kind ({', '.join(CACHE_ERRORS)}).", ["kind"], registry=registry
        )
        for kind in CACHE_ERRORS:  # A series that appears with its first failure shows Prometheus no increase.
            self.cache_errors.labels(kind)
        self.leases = Counter(
            "neumeta_leases",
            "Builds by what came of the lease (won, waited: another replica built it, took_over: another one gave up, skipped: the cache failed).",
            ["result"],
            registry=registry,
        )
        self.rate_limit = Counter(
            "neumeta_rate_limit", "Requests counted against a rate limit by result (allowed, limited, error, skipped).", ["result"], registry=registry
        )
        self.stages = Histogram(
            "neumeta_materialize_seconds",
            "Seconds of each stage of a request (cache, lease, queue, inr, onnx).",
            ["stage"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._stage_of = cache(self.stages.labels)
        self.inflight = Gauge("neumeta_inflight", "Requests in progress.", registry=registry)
        self.queue_depth = Gauge("neumeta_queue_depth", "Builds that wait for the device or run on it.", registry=registry)
        self.artifact_bytes = Histogram("neumeta_artifact_bytes", "Sizes of the artifacts that were built.", buckets=_BYTES, registry=registry)
        self.model_info = Gauge("neumeta_model_info", "Versions of models that are served; the value is 1.", ["name", "version"], registry=registry)
        self.models_refused = Gauge(
            "neumeta_models_refused", "Versions, and files of aliases or rungs, that were found and are not used.", registry=registry
        )
        self.reloads = Counter(
            "neumeta_reloads",
            "Reloads by result (ok, refused: something that was found is not used, failed).",
            ["result"],
            registry=registry,
        )
        self.damaged_profiles = Counter("neumeta_damaged_profiles", "Reads of a file of device profiles that is damaged.", registry=registry)
        self.self_checks = Counter("neumeta_self_check", f"Self-checks by result ({', '.join(SELF_CHECKS)}).", ["result"], registry=registry)
        for counter, results in ((self.reloads, RELOADS), (self.self_checks, SELF_CHECKS)):  # As above.
            for result in results:
                counter.labels(result)
        gpu_memory = Gauge("neumeta_gpu_memory_bytes", "CUDA memory that tensors of this process take; 0 without CUDA.", registry=registry)
        gpu_memory.set_function(_gpu_memory_bytes)

    @contextmanager
    def stage(self, name: str, seconds: MutableMapping[str, float]) -> Iterator[None]:
        """Time a stage: into the histogram, and added to ``seconds[name]``."""
        started = perf_counter()
        try:
            yield
        finally:
            self.observe(name, perf_counter() - started, seconds)

    def observe(self, name: str, elapsed: float, seconds: MutableMapping[str, float]) -> None:
        """Seconds that a stage took: into the histogram, and added to ``seconds[name]``."""
        self._stage_of(name).observe(elapsed)
        seconds[name] = seconds.get(name, 0.0) + elapsed

    def show_models(self, added: Iterable[tuple[str, int]], withdrawn: Iterable[tuple[str, int]] = (), *, refused: int) -> None:
        """Say which versions are served from now on, which no longer are, and how many findings are refused."""
        self.models_refused.set(refused)
        for name, version in withdrawn:
            self.model_info.remove(name, str(version))
        for name, version in added:
            self.model_info.labels(name, str(version)).set(1)

    def watch_signing_certificate(self, expires: Callable[[], float]) -> None:
        """Show when the certificate that signs expires; without one there is no such series, which could look expired."""
        gauge = Gauge(
            "neumeta_signing_certificate_expiry_timestamp_seconds", "When the signing certificate expires, in Unix time.", registry=self.registry
        )
        gauge.set_function(expires)

    def render(self) -> bytes:
        """The text exposition format, version 0.0.4."""
        return generate_latest(self.registry)


def _gpu_memory_bytes() -> int:
    return sum(torch.cuda.memory_allocated(index) for index in range(torch.cuda.device_count()))
