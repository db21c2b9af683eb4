from __future__ import annotations

import asyncio
import resource
import signal
import stat
import threading

import httpx
import pytest

from neumeta_client import ArtifactGone, AsyncClient, CacheError, Client, ConnectionFailed, IntegrityError, Retries, UnexpectedAnswer


@pytest.mark.parametrize("fault", ["short", "wrong", "extra", "endless"])
def test_wrong_bytes_are_fetched_again_once(client, service, fault):
    service.on("artifact", getattr(service, fault))
    artifact = client.pull("lenet-mnist", compression=0.5)
    assert artifact.path.read_bytes() == service.make({"compression": 0.5, "precision": "fp32"})
    assert service.count("artifact") == 2


@pytest.mark.parametrize("fault", ["short", "wrong", "extra", "endless"])
def test_wrong_bytes_twice_are_an_integrity_error(client, service, files, fault):
    service.on("artifact", *[getattr(service, fault)] * 2)
    with pytest.raises(IntegrityError):
        client.pull("lenet-mnist", compression=0.5)
    assert service.count("artifact") == 2
    assert files() == []


def test_a_slow_service_runs_into_the_timeout(call, service, cache):
    service.on("artifact", service.stall)
    with pytest.raises(ConnectionFailed, match="in time"):
        call(url=service.url, cache=cache, timeout=0.3, retries=Retries(attempts=1)).pull("lenet-mnist", compression=0.5)


def test_nobody_there(call, cache):
    with pytest.raises(ConnectionFailed):
        call(url="http://127.0.0.1:1", cache=cache).pull("lenet-mnist", compression=0.5)


def test_a_gone_artifact_is_asked_for_again(client, service):
    service.on("artifact", service.problem("artifact_gone", 404))
    artifact = client.pull("lenet-mnist", compression=0.5)
    assert not artifact.from_cache
    assert [(method, path.split("/")[2]) for method, path, _, _ in service.requests] == [("POST", "models"), ("GET", "artifacts")] * 2


def test_an_artifact_rebuilt_with_other_bytes_starts_cleanly(client, service):
    made = [b"one" * 1000, b"other" * 1000]
    service.make = lambda _: made[service.count("materialize") - 1]
    service.on("artifact", service.problem("artifact_gone", 404))
    artifact = client.pull("lenet-mnist", compression=0.5)
    assert artifact.path.read_bytes() == made[1]
    assert artifact.manifest.size == len(made[1])


def test_an_artifact_gone_twice_is_an_error(client, service, files):
    service.on("artifact", *[service.problem("artifact_gone", 404)] * 2)
    with pytest.raises(ArtifactGone):
        client.pull("lenet-mnist", compression=0.5)
    assert service.count("materialize") == 2
    assert files() == []


def test_gone_once_and_wrong_once_still_succeeds(client, service):
    service.on("artifact", service.problem("artifact_gone", 404), service.wrong)
    assert client.pull("lenet-mnist", compression=0.5).path.is_file()
    assert service.count("artifact") == 3


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("digest", "sha256:../../../../etc/passwd"),
        ("digest", "sha256:" + "A" * 64),
        ("digest", "sha256:" + "a" * 64 + "\n"),
        ("digest", "md5:" + "a" * 32),
        ("spec_digest", "sha256:" + "../" * 21 + "a"),
        ("model", "../../evil"),
        ("model", "another-model"),
        ("filename", "../evil.onnx"),
        ("filename", "/etc/evil.onnx"),
        ("url", "http://127.0.0.1:1/v1/artifacts/x"),
        ("url", "//127.0.0.1:1/v1/artifacts/x"),
        ("url", "/v1/../../admin"),
        ("url", "/v1/%2e%2e/admin"),
        ("url", "/v1/artifacts/x#y"),
        ("url", "\\\\host\\share"),
        ("url", "v1/artifacts/x"),
        ("url", "/@evil\r\nX-Header: 1"),
        ("size", -1),
        ("size", True),
        ("size", "71234"),
        ("spec", None),
        ("labels", {"0": "zero"}),
    ],
)
def test_a_manifest_that_is_not_allowed_is_refused(client, service, files, tmp_path, field, value):
    service.manifest_changes = {field: value}
    with pytest.raises(UnexpectedAnswer, match=field if value != "another-model" else "another-model"):
        client.pull("lenet-mnist", compression=0.5)
    assert service.count("artifact") == 0
    assert files() == []
    assert list(tmp_path.rglob("*evil*")) == []


def test_a_cache_folder_that_cannot_be_used_is_an_error(call, service, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CacheError, match="file"):
        call(url=service.url, cache=tmp_path / "file" / "cache").pull("lenet-mnist", compression=0.5)


def test_a_disk_that_refuses_is_a_cache_error_and_leaves_nothing(client, files):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(CacheError, match="too large"):
            client.pull("lenet-mnist", compression=0.5)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert files() == []


def test_files_get_the_permissions_that_the_umask_says(client):
    path = client.pull("lenet-mnist", compression=0.5).path
    other = path.with_name("other")
    other.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)


def test_an_interrupt_during_the_download_leaves_what_came_for_the_next_one(service, cache, files):
    class Interrupted(httpx.SyncByteStream):
        def __iter__(self):
            yield service.make({"compression": 0.5, "precision": "fp32"})[:1000]
            raise KeyboardInterrupt

    class Transport(httpx.HTTPTransport):
        def handle_request(self, request):
            answer = super().handle_request(request)
            if request.method == "POST":
                return answer
            answer.close()
            return httpx.Response(200, stream=Interrupted())

    with Client(service.url, cache=cache, transport=Transport()) as client, pytest.raises(KeyboardInterrupt) as caught:
        client.pull("lenet-mnist", compression=0.5)
    # The traceback still holds all that the pull had in hand.
    assert caught.tb is not None
    (name,) = files()
    assert ((cache / name).suffix, (cache / name).stat().st_size) == (".part", 1000)
    with Client(service.url, cache=cache) as client:
        assert client.pull("lenet-mnist", compression=0.5).path.read_bytes() == service.make({"compression": 0.5, "precision": "fp32"})
    assert service.requests[-1][2]["range"] == "bytes=1000-"


def test_a_cancelled_pull_lets_go_of_its_file(service, cache, files):
    service.on("artifact", service.stall)

    async def cancelled() -> None:
        async with AsyncClient(service.url, cache=cache) as client:
            pull = asyncio.ensure_future(client.pull("lenet-mnist", compression=0.5))
            await asyncio.get_running_loop().run_in_executor(None, service.stalled.wait, 300)
            assert [name for name in files() if name.endswith(".part")]
            pull.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await pull
            assert caught.tb is not None
            # The traceback still holds all that the pull had in hand; its lock is gone nevertheless.
            assert (await client.pull("lenet-mnist", compression=0.5)).path.is_file()
            assert [name for name in files() if name.endswith(".part")] == []

    asyncio.run(cancelled())


def test_a_pull_cancelled_while_a_thread_works_waits_for_it(service, cache, files, monkeypatch):
    started, go_on = threading.Event(), threading.Event()

    def slow_sync(_: int) -> None:
        started.set()
        go_on.wait(300)

    monkeypatch.setattr("os.fsync", slow_sync)

    async def cancelled() -> None:
        async with AsyncClient(service.url, cache=cache) as client:
            pull = asyncio.ensure_future(client.pull("lenet-mnist", compression=0.5))
            await asyncio.get_running_loop().run_in_executor(None, started.wait, 300)
            for _ in range(3):
                pull.cancel()
                await asyncio.sleep(0)
            waited = not pull.done()
            go_on.set()
            with pytest.raises(asyncio.CancelledError):
                await pull
            assert waited

    asyncio.run(cancelled())
    # The file was verified before the pull was cancelled: it is whole.
    assert [name for name in files() if name.endswith(".part")] == []
