from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import pytest

from neumeta_client import Client, IntegrityError, InvalidRequest, UnexpectedAnswer


def test_pull_gives_the_bytes_that_the_manifest_names(client, service, cache, files):
    artifact = client.pull("lenet-mnist", compression=0.5)
    data = artifact.path.read_bytes()
    hexdigest = sha256(data).hexdigest()
    assert data == service.make({"compression": 0.5, "precision": "fp32"})
    assert artifact.digest == artifact.manifest.digest == f"sha256:{hexdigest}"
    assert artifact.path == cache / "blobs" / "sha256" / f"{hexdigest}.onnx"
    assert artifact.manifest.size == len(data)
    assert not artifact.from_cache
    assert not artifact.stale
    blob, *refs = files()
    assert blob == f"blobs/sha256/{hexdigest}.onnx"
    # One is of the latest version, one of this version for ever.
    assert [bool(re.fullmatch(r"refs/lenet-mnist/[0-9a-f]{64}\.json", ref)) for ref in refs] == [True, True]


def test_the_ref_is_the_manifest_as_it_came(client, cache):
    artifact = client.pull("lenet-mnist", compression=0.5)
    for path in (cache / "refs" / "lenet-mnist").iterdir():
        ref = json.loads(path.read_text())
        assert ref["digest"] == artifact.digest
        assert ref["made_by_a_newer_service"] == {"signature": "…"}


@pytest.mark.parametrize(
    "selector",
    [
        {"compression": 0.25},
        {"compression": 0},
        {"widths": {"conv1": 8}},
        {"budget": {"params": 9000, "bytes": 90000}},
        {"budget": {"latency_ms": 4.5, "device": "pi4"}},
        {"rung": "small"},
    ],
)
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_each_selector_goes_over_the_wire(client, service, selector, precision):
    client.pull("lenet-mnist", **selector, precision=precision)
    method, path, headers, body = service.requests[0]
    assert (method, path, headers["accept"], headers["content-type"]) == (
        "POST",
        "/v1/models/lenet-mnist/materialize",
        "application/json",
        "application/json",
    )
    assert json.loads(body) == {**selector, "precision": precision}
    assert headers["user-agent"].startswith("neumeta-client/")


@pytest.mark.parametrize("version", [1, "1", "stable"])
def test_a_version_goes_over_the_wire(client, service, version):
    client.pull("lenet-mnist", compression=0.5, version=version)
    assert json.loads(service.requests[0][3])["version"] == version
    client.model("lenet-mnist", version=version)
    client.curve("lenet-mnist", version=version)
    assert [path for method, path, _, _ in service.requests if "?" in path] == [
        f"/v1/models/lenet-mnist?version={version}",
        f"/v1/models/lenet-mnist/curve?version={version}",
    ]


@pytest.mark.parametrize("version", [2, "2"])
def test_another_version_than_the_one_asked_for_is_not_taken(client, version, files):
    with pytest.raises(UnexpectedAnswer, match="version 1 of lenet-mnist; version 2 was asked for"):
        client.pull("lenet-mnist", compression=0.5, version=version)
    assert files() == []


@pytest.mark.parametrize("version", [0, -1, True, 1.0, "", "Stable", "../1", "1&x=2", "x" * 65])
def test_a_version_that_cannot_be_asked_for_is_not_sent(client, service, version):
    selector = {"compression": 0.5}
    for ask, arguments in ((client.model, {}), (client.curve, {}), (client.manifest, selector), (client.pull, selector)):
        with pytest.raises(InvalidRequest, match=r"version: .* is not allowed; expected a positive integer or an alias"):
            ask("lenet-mnist", version=version, **arguments)
    assert service.requests == []


def test_a_cached_artifact_is_not_downloaded_again(client, service):
    first = client.pull("lenet-mnist", compression=0.5)
    second = client.pull("lenet-mnist", compression=0.5)
    assert (second.path, second.manifest, second.from_cache) == (first.path, first.manifest, True)
    assert (service.count("materialize"), service.count("artifact")) == (2, 1)


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data + b"!", lambda data: b"\0" + data[1:], lambda _: b""])
def test_a_corrupt_file_in_the_cache_is_fetched_again(client, service, damage):
    first = client.pull("lenet-mnist", compression=0.5)
    good = first.path.read_bytes()
    first.path.write_bytes(damage(good))
    second = client.pull("lenet-mnist", compression=0.5)
    assert second.path.read_bytes() == good
    assert not second.from_cache
    assert service.count("artifact") == 2


@pytest.mark.parametrize("is_known", [False, True], ids=["another client", "the same client"])
def test_a_manifest_with_a_wrong_size_costs_no_good_file(service, cache, is_known):
    with Client(service.url, cache=cache) as first, Client(service.url, cache=cache) as second:
        path = first.pull("lenet-mnist", compression=0.5).path
        service.manifest_changes = {"size": 999}
        with pytest.raises(IntegrityError, match="999 bytes"):
            (first if is_known else second).pull("lenet-mnist", compression=0.5)
        service.manifest_changes = {}
        assert path.is_file()
        assert first.pull("lenet-mnist", compression=0.5).from_cache


def test_a_corrupt_file_is_gone_even_when_the_new_one_cannot_be_had(client, service, files):
    path = client.pull("lenet-mnist", compression=0.5).path
    path.write_bytes(b"rubbish")
    service.on("artifact", service.problem("internal_error", 500))
    with pytest.raises(Exception, match="internal_error"):
        client.pull("lenet-mnist", compression=0.5)
    assert not [name for name in files() if name.startswith("blobs")]


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"compression": 0.5, "widths": {"conv1": 8}},
        {"compression": 0.5, "budget": {"params": 9000}},
        {"compression": 0.5, "widths": {"conv1": 8}, "budget": {"params": 9000}},
        {"compression": float("nan")},
        {"compression": float("inf")},
        {"widths": {"conv1": object()}},
        {"budget": {1, 2}},
        {"budget": 90_000, "version": 1},
        {"widths": 8},
    ],
)
@pytest.mark.parametrize("method", ["pull", "manifest"])
def test_a_bad_selector_is_an_error_before_any_request(client, service, method, arguments):
    with pytest.raises(InvalidRequest):
        getattr(client, method)("lenet-mnist", **arguments)
    assert service.requests == []


@pytest.mark.parametrize(("method", "arguments"), [("pull", {"compression": 0.5}), ("manifest", {"compression": 0.5}), ("model", {}), ("curve", {})])
def test_a_bad_name_is_an_error_before_any_request(client, service, method, arguments):
    for name in ("", "../x", "a/b", "Upper", "x" * 65, ".hidden", "a?b", "a b", "a\n", None):
        with pytest.raises(InvalidRequest, match="name"):
            getattr(client, method)(name, **arguments)
    assert service.requests == []


def test_manifest_downloads_nothing(client, service, files):
    manifest = client.manifest("lenet-mnist", compression=0.5)
    assert manifest.cost.params == 17000
    assert service.count("artifact") == 0
    assert files() == []


def test_a_service_below_a_path_is_reached(call, service, cache):
    with pytest.raises(Exception, match="not_found"):
        call(url=f"{service.url}/edge/", cache=cache).models()
    assert service.requests[0][1] == "/edge/v1/models"


def test_of_two_threads_that_pull_the_same_one_downloads(client, service, files):
    service.on("artifact", service.hold)
    with ThreadPoolExecutor(2) as pool:
        pulls = [pool.submit(client.pull, "lenet-mnist", compression=0.5) for _ in range(2)]
        assert service.asked_twice.wait(300)
        service.release.set()
        first, second = (pull.result() for pull in pulls)
    assert first.path == second.path
    assert first.path.read_bytes() == service.make({"compression": 0.5, "precision": "fp32"})
    assert (service.count("artifact"), sorted([first.from_cache, second.from_cache])) == (1, [False, True])
    assert len(files()) == 3
