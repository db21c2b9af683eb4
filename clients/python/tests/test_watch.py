from __future__ import annotations

import asyncio
from itertools import islice

import pytest

from neumeta_client import AsyncClient, Client, InvalidRequest, ModelNotFound, Retries, ServiceUnavailable
from neumeta_client._flows import Pause, advance
from neumeta_client._protocol import Request, Selection
from neumeta_client._settings import make_flows


def take(kind: str, service, cache, count: int, between=lambda: None, **arguments: object) -> list[object]:
    """The first artifacts that a watch gives; ``between`` is called after each."""
    options = {"cache": cache, "retries": Retries(attempts=1)}

    async def collect() -> list[object]:
        found = []
        async with AsyncClient(service.url, **options) as client:
            watch = client.watch("lenet-mnist", compression=0.5, interval_s=0, **arguments)
            async for artifact in watch:
                found.append(artifact)
                between()
                if len(found) == count:
                    break
            await watch.aclose()
        return found

    if kind == "async":
        return asyncio.run(collect())
    found = []
    with Client(service.url, **options) as client:
        for artifact in islice(client.watch("lenet-mnist", compression=0.5, interval_s=0, **arguments), count):
            found.append(artifact)
            between()
    return found


def release(service, version: int) -> None:
    service.manifest_changes = service.model_changes = {"version": version}
    service.make = lambda _: f"version {version}".encode() * 1000


@pytest.fixture(params=["sync", "async"])
def kind(request):
    return request.param


def test_a_watch_gives_the_present_version_and_then_newer_ones(kind, service, cache):
    first, second = take(kind, service, cache, 2, between=lambda: release(service, 2))
    assert (first.manifest.version, second.manifest.version) == (1, 2)
    assert second.path.read_bytes() == b"version 2" * 1000


def test_nothing_new_is_not_pulled(kind, service, cache):
    def later() -> None:
        asked = service.count("model")
        service.on("model", *[lambda handler, data: handler.answer(200, "application/json", data)] * 3, lambda handler, _: new(handler))
        assert asked == service.count("model")

    def new(handler: object) -> None:
        release(service, 2)
        service.problem("overloaded", 503)(handler, b"")

    take(kind, service, cache, 2, between=lambda: later() if service.count("model") == 0 else None)
    # Three times the same, once no answer, once the news.
    assert service.count("model") == 5
    assert service.count("materialize") == 2


def test_a_service_that_asks_to_wait_is_not_asked_before(service, cache):
    flows = make_flows(service.url, cache=cache, cache_limit=None, offline=False, retries=None, trust_root=None)
    watch = flows.newer("lenet-mnist", Selection(compression=0.5), 1, 0.2)
    pauses = [advance(watch)]
    for asked in (300.0, None):
        assert isinstance(advance(watch), Request)
        pauses.append(advance(watch, error=ServiceUnavailable("It is busy.", retry_after=asked)))
    assert [isinstance(pause, Pause) and pause.seconds >= 300 for pause in pauses] == [False, True, False]


def test_an_older_version_is_not_news(kind, service, cache):
    release(service, 3)
    versions = iter([2, 4])

    def between() -> None:
        release(service, next(versions, 4))
        service.on("model", lambda handler, data: (handler.answer(200, "application/json", data), release(service, 4)))

    assert [artifact.manifest.version for artifact in take(kind, service, cache, 2, between=between)] == [3, 4]


def test_a_model_that_is_gone_ends_the_watch(kind, service, cache):
    def between() -> None:
        service.on("model", service.problem("model_not_found", 404))

    with pytest.raises(ModelNotFound):
        take(kind, service, cache, 2, between=between)


@pytest.mark.parametrize("version", [1, "1"])
def test_a_number_never_becomes_newer(kind, service, cache, version):
    with pytest.raises(InvalidRequest, match="never changes"):
        take(kind, service, cache, 1, version=version)
    assert service.requests == []
