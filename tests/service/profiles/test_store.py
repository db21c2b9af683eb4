"""Where profiles lie: a folder, a URL, or the memory of one process."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from neumeta_service.errors import StoreUnavailable
from neumeta_service.location import check_location
from neumeta_service.profiles import Profile, ProfileStore
from neumeta_service.profiles.profile import Point
from neumeta_service.telemetry.metrics import Metrics

from tests.tiny import tiny_architecture


def profile(latency_ms: float = 3.0, *, points: int = 2, version: int = 1) -> Profile:
    measured = [Point(compression=0.7 * index / points, latency_ms=latency_ms) for index in range(points)]
    groups = tiny_architecture().groups
    return Profile(version=version, precision="fp32", metric="p50", runtime="a runtime", threads=4, points=measured, groups=groups)


@pytest.fixture(params=["path", "file", "memory"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "made" / "when missing"
    yield {"path": str(folder), "file": f"file://{folder}", "memory": f"memory:/{folder}"}[request.param]
    if request.param == "memory" and fsspec.filesystem("memory").exists(str(folder)):
        fsspec.filesystem("memory").rm(str(folder), recursive=True)


def opened(location: str | None) -> ProfileStore:
    return ProfileStore(location, Metrics())


def test_what_one_store_wrote_another_one_reads(location: str) -> None:
    first, second = opened(location), opened(location)
    assert (first.devices("tiny"), first.read("tiny", "pi4")) == ([], [])
    first.write("tiny", "pi4", [profile(version=2), profile()])
    first.write("tiny", "a53", [profile(5.0)])
    first.write("other", "m7", [profile()])
    assert second.devices("tiny") == ["a53", "pi4"]
    assert second.read("tiny", "pi4") == [profile(version=2), profile()]
    second.write("tiny", "pi4", [profile(1.0)])
    assert first.read("tiny", "pi4") == [profile(1.0)]
    assert second.delete("tiny", "pi4")
    assert not first.delete("tiny", "pi4")
    assert (first.devices("tiny"), first.read("tiny", "pi4")) == (["a53"], [])


def test_without_a_location_a_store_is_alone() -> None:
    first, second = opened(None), opened(None)
    first.write("tiny", "pi4", [profile()])
    assert first.read("tiny", "pi4") == [profile()]
    assert second.devices("tiny") == second.read("tiny", "pi4") == []


@pytest.mark.parametrize("data", [b"", b"[{", b"{}", b"[1]", b"\xff", b"[" * 100_000, b'[{"version": 1}]'])
def test_a_damaged_file_counts_as_absent(location: str, data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    store = ProfileStore(location, metrics)
    store.write("tiny", "pi4", [profile()])
    backend, root = fsspec.url_to_fs(location)
    backend.pipe_file(f"{root}/tiny/pi4.json", data)
    with caplog.at_level(logging.ERROR):
        assert store.read("tiny", "pi4") == []
    assert "the profile of tiny on pi4 is damaged and not used" in caplog.text
    assert metrics.registry.get_sample_value("neumeta_damaged_profiles_total") == 1
    store.write("tiny", "pi4", [profile()])
    assert store.read("tiny", "pi4") == [profile()]


def test_a_file_is_replaced_at_once(tmp_path: Path) -> None:
    metrics = Metrics()
    store = ProfileStore(str(tmp_path), metrics)
    versions = [[profile(latency, points=200)] for latency in (1.0, 2.0)]
    store.write("tiny", "pi4", versions[0])

    def write() -> None:
        for index in range(100):
            store.write("tiny", "pi4", versions[index % 2])

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        assert store.read("tiny", "pi4") in versions
    writer.join()
    assert metrics.registry.get_sample_value("neumeta_damaged_profiles_total") == 0
    assert [path.name for path in (tmp_path / "tiny").iterdir()] == ["pi4.json"], "nothing is left over"


def test_what_lies_beside_is_passed_over(tmp_path: Path) -> None:
    store = opened(str(tmp_path))
    store.write("tiny", "pi4", [profile()])
    (tmp_path / "tiny" / ".pi4.json.0.part").write_text("half")
    (tmp_path / "tiny" / "readme.md").write_text("about this")
    assert store.devices("tiny") == ["pi4"]


def test_a_place_that_cannot_be_used_says_so_and_not_where_it_is(tmp_path: Path) -> None:
    store = opened(str(tmp_path / "store"))
    (tmp_path / "store" / "tiny").write_text("no folder")
    for use in (lambda: store.read("tiny", "pi4"), lambda: store.write("tiny", "pi4", [profile()])):
        with pytest.raises(StoreUnavailable) as caught:
            use()
        assert str(caught.value).startswith("NEUMETA_PROFILES cannot be used: ")
        assert str(tmp_path) not in str(caught.value)
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ValueError, match="is no directory"):
        check_location(tmp_path / "file", may_be_missing=True)
