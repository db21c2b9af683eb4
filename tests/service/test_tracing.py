"""Traces, as a collector on a real socket gets them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from neumeta_service.app import create_app
from neumeta_service.settings import Settings, SettingsError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.service.serving import POST, in_process, tiny_app

pytestmark = pytest.mark.anyio
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


class Collector(HTTPServer):
    """Keeps what is sent to it."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.bodies: list[bytes] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                collector.paths.append(self.path)
                collector.bodies.append(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def requests(self) -> list[ExportTraceServiceRequest]:
        return [ExportTraceServiceRequest.FromString(body) for body in self.bodies]

    @property
    def spans(self) -> list[Span]:
        return [span for request in self.requests for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans]


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever)
        thread.start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_port}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
        yield collector
        collector.shutdown()
        thread.join()


async def test_setting_tracing(models: Path, collector: Collector) -> None:
    for tracing in (False, True):
        async with in_process(tiny_app(models, tracing=tracing)) as client:
            assert (await client.post(POST, json={"compression": 0.5})).status_code == 200
        assert bool(collector.paths) is tracing
    assert set(collector.paths) == {"/v1/traces"}


async def test_stages_are_parts_of_the_request_and_it_of_the_clients_trace(models: Path, collector: Collector) -> None:
    async with in_process(tiny_app(models, tracing=True)) as client:
        digest = (await client.post(POST, json={"compression": 0.5}, headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})).headers["etag"].strip('"')
        await client.get(f"/v1/artifacts/{digest}")
    spans = {span.span_id: span for span in collector.spans}
    (posted,) = [span for span in spans.values() if span.parent_span_id.hex() == PARENT]
    assert posted.name == "POST /v1/models/{name}/materialize"
    stages = [span.name for span in spans.values() if span.parent_span_id == posted.span_id]
    assert sorted(stages) == ["cache", "cache", "cache", "inr", "onnx"]
    assert {span.trace_id.hex() for span in spans.values() if span.name == "inr"} == {TRACE}
    (got,) = [span for span in spans.values() if not span.parent_span_id]
    assert got.name == "GET /v1/artifacts/{digest}"
    assert got.trace_id.hex() != TRACE
    assert {"http.request.method": "GET", "url.path": f"/v1/artifacts/{digest}"}.items() <= {
        attribute.key: attribute.value.string_value for attribute in got.attributes
    }.items()


async def test_the_service_has_a_name(models: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    for wanted, expected in ((None, "neumeta-service"), ("mine", "mine")):
        if wanted:
            monkeypatch.setenv("OTEL_SERVICE_NAME", wanted)
        async with in_process(tiny_app(models, tracing=True)) as client:
            await client.get("/livez")
        names = [item.value.string_value for item in collector.requests[-1].resource_spans[0].resource.attributes if item.key == "service.name"]
        assert names == [expected]


def test_without_the_packages_it_does_not_start(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(SettingsError, match=r"NEUMETA_TRACING needs the extra otel"):
        create_app(Settings(models=models, device="cpu", tracing=True))
