"""A download that is interrupted goes on where it ended, and only with the very same bytes."""

from __future__ import annotations

import pytest

from neumeta_client import ConnectionFailed, IntegrityError


@pytest.fixture
def wanted(service):
    return service.make({"compression": 0.5, "precision": "fp32"})


def ranges(service) -> list[str | None]:
    return [headers.get("range") for method, _, headers, _ in service.requests if method == "GET"]


def test_a_cut_download_is_continued(client, service, wanted):
    service.on("artifact", service.cut)
    artifact = client.pull("lenet-mnist", compression=0.5)
    assert artifact.path.read_bytes() == wanted
    assert ranges(service) == [None, f"bytes={len(wanted) // 2}-"]
    assert service.requests[-1][2]["if-range"] == f'"{artifact.digest}"'
    assert service.count("materialize") == 1


def test_a_download_that_goes_on_is_not_given_up(client, service, wanted):
    # More cuts than attempts: each of them brought something.
    service.on("artifact", *[service.cut] * 8)
    assert client.pull("lenet-mnist", compression=0.5).path.read_bytes() == wanted
    assert service.count("artifact") == 9


def test_what_is_there_waits_for_the_next_pull(client, service, cache, files, wanted):
    service.on("artifact", service.cut, *[service.problem("draining", 503)] * 2)
    with pytest.raises(Exception, match="draining"):
        client.pull("lenet-mnist", compression=0.5)
    (part,) = files()
    assert (cache / part).read_bytes() == wanted[: len(wanted) // 2]
    assert client.pull("lenet-mnist", compression=0.5).path.read_bytes() == wanted
    assert ranges(service)[-1] == f"bytes={len(wanted) // 2}-"
    assert len(files()) == 3


def test_a_service_that_sends_all_again_is_taken_from_the_start(client, service, wanted):
    service.on("artifact", service.cut, lambda handler, _: handler.answer(200, "application/octet-stream", wanted))
    assert client.pull("lenet-mnist", compression=0.5).path.read_bytes() == wanted
    assert service.count("materialize") == 1


def test_rebuilt_with_equal_bits_between_two_halves(client, service, wanted):
    service.on("artifact", service.cut, service.problem("artifact_gone", 404))
    assert client.pull("lenet-mnist", compression=0.5).path.read_bytes() == wanted
    assert service.count("materialize") == 2
    assert ranges(service) == [None, *[f"bytes={len(wanted) // 2}-"] * 2]


def test_rebuilt_with_other_bits_between_two_halves(client, service, files):
    made = [b"one" * 1000, b"other" * 1000]
    service.make = lambda _: made[service.count("materialize") - 1]
    service.on("artifact", service.cut, service.problem("artifact_gone", 404))
    assert client.pull("lenet-mnist", compression=0.5).path.read_bytes() == made[1]
    assert ranges(service) == [None, "bytes=1500-", None]
    assert [name for name in files() if name.endswith(".part")] == []


@pytest.mark.parametrize(
    "content_range",
    ["", "bytes 0-9/10", "bytes */10", "rows 1-2/3", "bytes {start}-{last}/999", "bytes 5-{last}/{size}", "bytes {start}-{start}/{size}"],
)
def test_a_part_of_something_else_is_not_taken(client, service, wanted, content_range):
    half = len(wanted) // 2

    def lie(handler: object, data: bytes) -> None:
        handler.range = content_range.format(start=half, last=len(wanted) - 1, size=len(wanted))
        handler.answer(206, "application/octet-stream", data)

    service.on("artifact", service.cut, lie)
    assert client.pull("lenet-mnist", compression=0.5).path.read_bytes() == wanted
    assert ranges(service) == [None, f"bytes={half}-", None]


def test_a_part_of_another_artifact_is_not_taken(client, service, wanted):
    service.on("artifact", service.cut, lambda handler, data: handler.answer(206, "application/octet-stream", data, ETag='"sha256:other"'))
    assert client.pull("lenet-mnist", compression=0.5).path.read_bytes() == wanted
    assert ranges(service)[-1] is None


def test_a_range_that_cannot_be_had_starts_anew(client, service, wanted):
    service.on("artifact", service.cut, service.problem("range_not_satisfiable", 416))
    assert client.pull("lenet-mnist", compression=0.5).path.read_bytes() == wanted
    assert ranges(service)[-1] is None


def test_wrong_bytes_in_the_first_half_start_anew(client, service, cache, wanted):
    service.on("artifact", service.cut, *[service.problem("draining", 503)] * 2)
    with pytest.raises(Exception, match="draining"):
        client.pull("lenet-mnist", compression=0.5)
    (part,) = cache.rglob("*.part")
    part.write_bytes(b"\0" * part.stat().st_size)
    assert client.pull("lenet-mnist", compression=0.5).path.read_bytes() == wanted
    assert ranges(service)[-1] is None


@pytest.mark.parametrize("extra", [b"", b"!", b"!" * 100_000])
def test_what_is_there_may_be_all_or_too_much(client, service, cache, wanted, extra):
    service.on("artifact", service.cut, *[service.problem("draining", 503)] * 2)
    with pytest.raises(Exception, match="draining"):
        client.pull("lenet-mnist", compression=0.5)
    (part,) = cache.rglob("*.part")
    part.write_bytes(wanted + extra)
    sent = service.count("artifact")
    assert client.pull("lenet-mnist", compression=0.5).path.read_bytes() == wanted
    assert service.count("artifact") == sent + bool(extra)


def test_wrong_bytes_leave_no_part(client, service, files):
    service.on("artifact", service.wrong, service.wrong)
    with pytest.raises(IntegrityError):
        client.pull("lenet-mnist", compression=0.5)
    assert files() == []


def test_progress_counts_what_was_there(client, service, wanted):
    service.on("artifact", service.cut)
    seen: list[tuple[int, int]] = []
    client.pull("lenet-mnist", compression=0.5, progress=lambda received, size: seen.append((received, size)))
    assert {size for _, size in seen} == {len(wanted)}
    counts = [received for received, _ in seen]
    assert (counts[0], counts[-1]) == (0, len(wanted))
    assert counts == sorted(counts)


def test_a_client_that_is_out_of_tries_says_what_happened(client, service):
    service.on("artifact", service.cut, *[lambda handler, _: setattr(handler, "close_connection", True)] * 2)
    with pytest.raises(ConnectionFailed):
        client.pull("lenet-mnist", compression=0.5)
