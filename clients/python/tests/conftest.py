"""A small service on a real socket that keeps to docs/http-api.md, and misbehaves when a test says so."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import sys
import threading
from collections import defaultdict, deque
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Callable

import pytest

from neumeta_client import AsyncClient, Client, Retries
from neumeta_client.__main__ import main

MODEL = "lenet-mnist"
LIMIT_S = 300
INPUT = {"name": "input", "shape": [1, 28, 28], "layout": "NCHW", "scale": 1 / 255, "mean": [0.1307], "std": [0.3081]}
SPEC = {"model": MODEL, "version": 1, "manifold": f"sha256:{'0' * 64}", "widths": {"conv1": 16}, "opset": 17}


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class FakeService(ThreadingHTTPServer):
    """Answers by the contract; ``on`` lets the next answers of a route go wrong."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.script: dict[str, deque[Callable[[Handler, bytes], None]]] = defaultdict(deque)
        self.manifest_changes: dict[str, object] = {}
        self.model_changes: dict[str, object] = {}
        self.blobs: dict[str, bytes] = {}
        self.failures: list[BaseException | None] = []
        self.stalled, self.release, self.asked_twice = threading.Event(), threading.Event(), threading.Event()
        self.together = threading.Barrier(2)

    def make(self, body: dict[str, object]) -> bytes:
        """The bytes of a member; a test may put another function here."""
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).digest() * 8192

    def on(self, route: str, *faults: Callable[[Handler, bytes], None]) -> None:
        self.script[route].extend(faults)

    def count(self, route: str) -> int:
        return sum(route_of(method, path) == route for method, path, _, _ in self.requests)

    def handle_error(self, *_: object) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError):
            self.failures.append(error)

    # What can go wrong, each given the handler and the bytes of the right answer.

    @staticmethod
    def cut(handler: Handler, data: bytes) -> None:
        handler.begin(handler.good, "application/octet-stream", len(data))
        handler.wfile.write(data[: len(data) // 2])
        handler.close_connection = True

    @staticmethod
    def short(handler: Handler, data: bytes) -> None:
        handler.answer(handler.good, "application/octet-stream", data[: len(data) // 2])

    @staticmethod
    def wrong(handler: Handler, data: bytes) -> None:
        handler.answer(handler.good, "application/octet-stream", bytes([data[0] ^ 1]) + data[1:])

    @staticmethod
    def extra(handler: Handler, data: bytes) -> None:
        handler.answer(handler.good, "application/octet-stream", data + b"!")

    @staticmethod
    def endless(handler: Handler, data: bytes) -> None:
        handler.begin(200, "application/octet-stream", None)
        for _ in range(1000):
            handler.wfile.write(data)
        raise AssertionError("The client went on reading for 1000 times what it asked for.")

    @staticmethod
    def stall(handler: Handler, data: bytes) -> None:
        handler.begin(handler.good, "application/octet-stream", len(data))
        handler.wfile.write(data[: len(data) // 2])
        handler.wfile.flush()
        handler.server.stalled.set()
        handler.server.release.wait(LIMIT_S)
        handler.close_connection = True

    @staticmethod
    def meet(handler: Handler, data: bytes) -> None:
        handler.server.together.wait(LIMIT_S)
        handler.answer(handler.good, "application/octet-stream", data)

    @staticmethod
    def hold(handler: Handler, data: bytes) -> None:
        handler.server.stalled.set()
        handler.server.release.wait(LIMIT_S)
        handler.answer(handler.good, "application/octet-stream", data)

    @staticmethod
    def reply(status: int, media_type: str, body: bytes, **headers: str) -> Callable[[Handler, bytes], None]:
        return lambda handler, _: handler.answer(status, media_type, body, **headers)

    @staticmethod
    def problem(name: str, status: int, **members: object) -> Callable[[Handler, bytes], None]:
        document = {"type": f"urn:neumeta:problem:{name}", "title": name, "status": status, "detail": f"It is {name}.", "code": name}
        return FakeService.reply(status, "application/problem+json", json.dumps({**document, "request_id": "r1", **members}).encode())


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeService

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append((self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        route = route_of(self.command, self.path)
        data = ROUTES[route](self.server, self.path, body) if route in ROUTES else b""
        self.good, self.range, start = 200, None, 0
        asked = self.headers.get("Range", "")
        if route == "artifact" and data and asked and self.headers.get("If-Range") == f'"{digest_of(data)}"':
            start = int(asked[len("bytes=") : -1])
            self.good, self.range = 206, f"bytes {start}-{len(data) - 1}/{len(data)}"
        data = data[start:]
        faults = self.server.script[route]
        if faults:
            faults.popleft()(self, data)
        elif not data:
            FakeService.problem("not_found", 404)(self, data)
        else:
            self.answer(self.good, "application/octet-stream" if route == "artifact" else "application/json", data)
        if self.server.count("materialize") > 1:
            self.server.asked_twice.set()

    do_POST = do_PUT = do_GET  # noqa: N815 - the names that http.server calls

    def begin(self, status: int, media_type: str, size: int | None, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        if status == 206 and self.range:
            self.send_header("Content-Range", self.range)
        self.send_header("Connection" if size is None else "Content-Length", "close" if size is None else str(size))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def answer(self, status: int, media_type: str, data: bytes, **headers: str) -> None:
        self.begin(status, media_type, len(data), **headers)
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


def route_of(method: str, path: str) -> str:
    if method == "POST":
        return "materialize"
    if method == "PUT":
        return "profile"
    if path.startswith("/v1/artifacts/"):
        return "artifact"
    routes = {"/v1/models": "models", f"/v1/models/{MODEL}": "model", f"/v1/models/{MODEL}/curve": "curve"}
    return routes.get(path.partition("?")[0], "unknown")


def manifest(service: FakeService, path: str, body: bytes) -> bytes:
    wanted = json.loads(body)
    data = service.make(wanted)
    digest, spec_digest = digest_of(data), digest_of(body)
    service.blobs[digest] = data
    document = {
        "model": path.split("/")[3],
        "version": 1,
        "digest": digest,
        "size": len(data),
        "url": f"/v1/artifacts/{digest}",
        "filename": f"{MODEL}-1-{digest[7:19]}.onnx",
        "spec": {**SPEC, "precision": wanted["precision"]},
        "spec_digest": spec_digest,
        "compression": {"requested": wanted.get("compression"), "effective": wanted.get("compression", 0.5)},
        "cost": {"params": 17000, "macs": 1900000, "bytes": len(data)},
        "quality": {"metric": "accuracy", "value": 0.991, "kind": "measured", "precision": "fp32"},
        "input": INPUT,
        "output": {"name": "logits"},
        "labels": [str(label) for label in range(10)],
        "builder": "1",
        "made_by_a_newer_service": {"signature": "…"},
    }
    return json.dumps({**document, **service.manifest_changes}).encode()


def models(_: FakeService, __: str, ___: bytes) -> bytes:
    ready = {"state": "ready", "reason": None, "task": "classification", "digest": "sha256:…", "size": 123456, "max_compression": 0.75}
    refused = {"state": "refused", "reason": "The file ends after 10 bytes.", "task": None, "digest": None, "size": None, "max_compression": None}
    ready |= {"url": f"/v1/models/{MODEL}?version=1", "aliases": ["latest", "stable"]}
    listed = [{"name": MODEL, "version": 1, **ready}, {"name": MODEL, "version": 2, **refused, "url": None, "aliases": []}]
    return json.dumps({"models": listed}).encode()


def model(service: FakeService, _: str, __: bytes) -> bytes:
    document = {
        "name": MODEL,
        "version": 1,
        "digest": f"sha256:{'0' * 64}",
        "size": 123456,
        "task": "classification",
        "precisions": ["fp32", "fp16", "int8"],
        "groups": [{"name": "conv1", "full": 32, "minimum": 8, "granularity": 1}],
        "max_compression": 0.75,
        "costs": {"full": {"params": 60000, "macs": 4000000, "bytes": 240000}, "smallest": {"params": 4000, "macs": 300000, "bytes": 17000}},
        "input": INPUT,
        "output": {"name": "logits"},
        "labels": ["0", "1"],
        "inr": {"kind": "anchored", "hidden": 64},
        "training": {"recipe": "lenet-mnist", "seeds": [0]},
        "curve_url": f"/v1/models/{MODEL}/curve",
    }
    return json.dumps({**document, **service.model_changes}).encode()


def curve(_: FakeService, __: str, ___: bytes) -> bytes:
    full = {"compression": 0, "widths": {"conv1": 32}, "params": 60000, "macs": 4000000, "quality": 0.99, "held_out": False}
    half = {
        "compression": 0.5,
        "widths": {"conv1": 16},
        "params": 17000,
        "macs": 1900000,
        "quality": 0.985,
        "quality_in": {"int8": 0.98},
        "held_out": True,
    }
    return json.dumps({"model": MODEL, "version": 1, "metric": "accuracy", "split": "test", "samples": 10000, "points": [full, half]}).encode()


ROUTES: dict[str, Callable[[FakeService, str, bytes], bytes]] = {
    "materialize": manifest,
    "artifact": lambda service, path, _: service.blobs.get(path[len("/v1/artifacts/") :], b""),
    "models": models,
    "model": model,
    "curve": curve,
    "profile": lambda _, __, body: body,
}


class Caller:
    """One way to call a client: every attribute is a function that opens a client, awaits if need be, and closes it."""

    def __init__(self, kind: str, **options: object) -> None:
        self.kind = kind
        self.options = {"retries": Retries(attempts=3, first_delay_s=0), **options}

    def __getattr__(self, method: str) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            if self.kind == "sync":
                with Client(**self.options) as client:
                    return getattr(client, method)(*args, **kwargs)
            return asyncio.run(self._call(method, args, kwargs))

        return call

    async def _call(self, method: str, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        async with AsyncClient(**self.options) as client:
            return await getattr(client, method)(*args, **kwargs)


def classifier(hidden: int = 0) -> bytes:
    """Ten class scores of a 28 x 28 image, class 3 the highest for any; ``hidden`` weights beside them make it larger."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper

    pixels = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 1, 28, 28])
    scores = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])
    constants = {"weights": np.zeros((784, 10)), "bias": np.eye(10)[3], "wide": np.zeros((10, hidden + 1)), "narrow": np.zeros((hidden + 1, 10))}
    nodes = [
        helper.make_node("Flatten", ["input"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["few"]),
        helper.make_node("MatMul", ["few", "wide"], ["many"]),
        helper.make_node("Gemm", ["many", "narrow", "bias"], ["logits"]),
    ]
    weights = [onnx.numpy_helper.from_array(values.astype(np.float32), name) for name, values in constants.items()]
    graph = helper.make_graph(nodes, "classifier", [pixels], [scores], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


@pytest.fixture(name="classifier")
def _classifier():
    """Makes small networks that run: ``classifier(hidden)``."""
    return classifier


@pytest.fixture
def millisecond_calls(monkeypatch):
    """Networks run as ever, but by the clock every call of one takes a millisecond."""
    from neumeta_client._fit import latency, meter

    milliseconds = itertools.count()
    monkeypatch.setattr(meter, "time_calls", partial(latency.time_calls, clock=lambda: next(milliseconds) / 1000))


@pytest.fixture
def service():
    server = FakeService()
    # Blocks for at most this long when the server is shut down.
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.release.set()
    server.shutdown()
    server.server_close()
    thread.join()
    assert server.failures == []


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def files(cache):
    """The names of all files in the cache folder."""
    return lambda: sorted(path.relative_to(cache).as_posix() for path in cache.rglob("*") if path.is_file())


@pytest.fixture(params=["sync", "async"])
def call(request):
    """Makes callers of one kind: ``call(url=..., cache=...)``."""
    return lambda **options: Caller(request.param, **options)


@pytest.fixture
def client(call, service, cache):
    return call(url=service.url, cache=cache)


@pytest.fixture
def environment(service, cache, monkeypatch):
    """This process talks to the fake service, as a user's shell would tell it to."""
    monkeypatch.setenv("NEUMETA_CLIENT_URL", service.url)
    monkeypatch.setenv("NEUMETA_CLIENT_CACHE", str(cache))
    monkeypatch.setenv("COLUMNS", "120")
    return monkeypatch


@pytest.fixture
def run(environment, capsys):
    """Runs the command line: exit code, standard output, standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        environment.setattr(sys, "argv", ["neumeta-client", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return (ended.value.code or 0, *capsys.readouterr())

    return run
