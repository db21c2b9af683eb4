"""What is in the cache is given when the service may not be asked, need not be asked, or cannot be."""

from __future__ import annotations

import pytest

from neumeta_client import AccessRefused, InvalidRequest, NeuMetaClientError, Offline

ASKED = {"compression": 0.5}


@pytest.fixture
def offline(call, service, cache):
    return call(url=service.url, cache=cache, offline=True)


def test_offline_gives_what_was_pulled(client, service, offline):
    pulled = client.pull("lenet-mnist", **ASKED)
    sent = len(service.requests)
    kept = offline.pull("lenet-mnist", **ASKED)
    assert (kept.path, kept.manifest, kept.from_cache, kept.stale) == (pulled.path, pulled.manifest, True, True)
    assert offline.manifest("lenet-mnist", **ASKED) == pulled.manifest
    assert len(service.requests) == sent


@pytest.mark.parametrize(
    ("method", "arguments"),
    [("models", {}), ("model", {"name": "lenet-mnist"}), ("curve", {"name": "lenet-mnist"}), ("pull", {"name": "lenet-mnist", "compression": 0.25})],
)
def test_offline_sends_nothing(client, service, offline, method, arguments):
    client.pull("lenet-mnist", **ASKED)
    sent = len(service.requests)
    with pytest.raises(Offline):
        getattr(offline, method)(**arguments)
    assert len(service.requests) == sent


@pytest.mark.parametrize("other", [{"precision": "fp16"}, {"version": "stable"}, {"compression": 0.25}])
def test_another_request_was_not_answered(client, offline, other):
    client.pull("lenet-mnist", **ASKED)
    with pytest.raises(Offline, match="pull it once"):
        offline.pull("lenet-mnist", **{**ASKED, **other})


def test_another_service_may_mean_another_network(client, call, cache):
    client.pull("lenet-mnist", **ASKED)
    with pytest.raises(Offline):
        call(url="http://127.0.0.1:1", cache=cache, offline=True).pull("lenet-mnist", **ASKED)


def test_a_file_that_is_gone_or_corrupt_is_not_given(client, offline):
    path = client.pull("lenet-mnist", **ASKED).path
    path.write_bytes(b"rubbish")
    for _ in range(2):
        with pytest.raises(Offline):
            offline.pull("lenet-mnist", **ASKED)
    assert not path.exists()


def test_a_ref_that_is_corrupt_is_asked_for_again(client, offline, cache):
    client.pull("lenet-mnist", **ASKED)
    for ref in (cache / "refs" / "lenet-mnist").iterdir():
        ref.write_bytes(b"{")
    with pytest.raises(Offline):
        offline.pull("lenet-mnist", **ASKED)
    assert client.pull("lenet-mnist", **ASKED).from_cache
    assert offline.pull("lenet-mnist", **ASKED)


@pytest.mark.parametrize("version", [1, "1"])
def test_a_version_with_a_number_is_not_asked_for_twice(client, service, version):
    first = client.pull("lenet-mnist", version=version, **ASKED)
    sent = len(service.requests)
    again = client.pull("lenet-mnist", version=version, **ASKED)
    assert (again.path, again.from_cache, again.stale) == (first.path, True, False)
    assert len(service.requests) == sent


@pytest.mark.parametrize(("given", "other"), [(1, "1"), ("1", 1)])
def test_a_number_is_one_however_it_is_spelt(client, offline, given, other):
    pulled = client.pull("lenet-mnist", version=given, rung="small")
    assert offline.pull("lenet-mnist", version=other, rung="small").path == pulled.path


@pytest.mark.parametrize("ends", [("", "/"), ("/", "")])
def test_so_is_an_address(call, service, cache, ends):
    first, second = (call(url=service.url + end, cache=cache, offline=is_offline) for end, is_offline in zip(ends, (False, True)))
    pulled = first.pull("lenet-mnist", **ASKED)
    assert second.pull("lenet-mnist", **ASKED).path == pulled.path


@pytest.mark.parametrize("asked", [{"compression": 0.5}, {"widths": {"conv1": 8}}, {"budget": {"bytes": 300_000}}])
@pytest.mark.parametrize("version", [None, "stable"])
def test_what_was_pulled_without_a_number_is_there_by_its_number_too(client, service, offline, asked, version):
    pulled = client.pull("lenet-mnist", version=version, **asked)
    service.manifest_changes = {"version": 2}
    client.pull("lenet-mnist", version=version, **asked)
    sent = len(service.requests)
    for kept in (client.pull("lenet-mnist", version=1, **asked), offline.pull("lenet-mnist", version=1, **asked)):
        assert (kept.path, kept.manifest, kept.stale) == (pulled.path, pulled.manifest, False)
    assert len(service.requests) == sent


@pytest.mark.parametrize("moving", [{"rung": "small"}, {"budget": {"latency_ms": 4, "device": "pi4"}}])
def test_what_moves_is_not_there_by_a_number_it_was_not_asked_for(client, offline, moving):
    client.pull("lenet-mnist", **moving)
    with pytest.raises(Offline):
        offline.pull("lenet-mnist", version=1, **moving)


@pytest.mark.parametrize("moving", [{"rung": "small"}, {"budget": {"latency_ms": 4, "device": "pi4"}}])
def test_what_may_come_to_mean_something_else_is_asked_for(client, service, moving):
    for _ in range(2):
        client.pull("lenet-mnist", version=1, **moving)
    assert service.count("materialize") == 2


def test_a_service_that_is_gone_leaves_what_there_was(client, service, caplog):
    pulled = client.pull("lenet-mnist", **ASKED)
    service.on("materialize", *[service.problem("draining", 503)] * 9)
    kept = client.pull("lenet-mnist", **ASKED)
    assert (kept.path, kept.manifest, kept.from_cache, kept.stale) == (pulled.path, pulled.manifest, True, True)
    assert "as it was pulled before" in caplog.text
    # With something to give there is no reason to wait.
    assert service.count("materialize") == 2


def test_so_does_a_new_version_that_cannot_be_downloaded(client, service):
    pulled = client.pull("lenet-mnist", **ASKED)
    service.make = lambda _: b"new" * 1000
    service.on("artifact", *[service.problem("draining", 503)] * 9)
    kept = client.pull("lenet-mnist", **ASKED)
    assert (kept.path, kept.stale) == (pulled.path, True)


def test_with_nothing_to_give_there_is(call, client, service, cache):
    client.pull("lenet-mnist", **ASKED).path.unlink()
    service.on("materialize", service.problem("draining", 503))
    assert call(url=service.url, cache=cache).pull("lenet-mnist", **ASKED).path.exists()
    assert service.count("materialize") == 3


@pytest.mark.parametrize(("name", "status", "kind"), [("unauthenticated", 401, AccessRefused), ("internal_error", 500, NeuMetaClientError)])
def test_a_service_that_refuses_is_believed(client, service, name, status, kind):
    client.pull("lenet-mnist", **ASKED)
    service.on("materialize", service.problem(name, status))
    with pytest.raises(kind, match=name):
        client.pull("lenet-mnist", **ASKED)


@pytest.mark.parametrize(("text", "is_offline"), [("1", True), ("true", True), ("YES", True), ("0", False), ("", False), ("off", False)])
def test_the_environment_says_so(call, service, cache, monkeypatch, text, is_offline):
    monkeypatch.setenv("NEUMETA_CLIENT_OFFLINE", text)
    client = call(url=service.url, cache=cache)
    if is_offline:
        with pytest.raises(Offline):
            client.models()
    else:
        assert client.models()


def test_other_words_are_refused(call, service, cache, monkeypatch):
    monkeypatch.setenv("NEUMETA_CLIENT_OFFLINE", "maybe")
    with pytest.raises(InvalidRequest, match="NEUMETA_CLIENT_OFFLINE"):
        call(url=service.url, cache=cache).models()
