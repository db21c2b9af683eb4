"""From files to what is served, on a folder and on fsspec's object store in memory."""

from __future__ import annotations

import gc
import json
import logging
import shutil
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
import torch
from fsspec.implementations.memory import MemoryFileSystem
from neumeta_core.errors import ManifoldRefused
from neumeta_core.manifold import Manifold
from neumeta_service.catalog.admission import admit
from neumeta_service.catalog.catalog import Catalog
from neumeta_service.catalog.repository import Repository
from neumeta_service.catalog.store import Store
from neumeta_service.errors import StoreUnavailable

from tests.tiny import save_tiny, tiny_manifold

RUBBISH = b"rubbish"


class Place:
    """A store seen from its writer's side."""

    def __init__(self, location: str, scratch: Path) -> None:
        self.location = location
        self._scratch = scratch
        self._backend, self._root = fsspec.url_to_fs(location)
        self.write("keep.md", b"so that the place exists")

    def write(self, path: str, data: bytes) -> None:
        self._backend.makedirs(f"{self._root}/{path}".rpartition("/")[0], exist_ok=True)
        self._backend.pipe_file(f"{self._root}/{path}", data)

    def publish(self, version: int = 1, **arguments: Any) -> bytes:
        data = save_tiny(self._scratch, version=version, **arguments).read_bytes()
        self.write(f"{arguments.get('name', 'tiny')}/{version}/manifold.safetensors", data)
        return data

    def remove(self, path: str) -> None:
        self._backend.rm(f"{self._root}/{path}", recursive=True)

    def remove_all(self) -> None:
        self._backend.rm(self._root, recursive=True)


class Remote(MemoryFileSystem):
    """The object store in memory, read as object stores are: listings are remembered, and failures are the client library's own."""

    protocol = "remote"
    listings: ClassVar[dict[str, Any]] = {}
    failure: ClassVar[Exception | None] = None

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.removeprefix("remote://")))

    def ls(self, path: str, detail: bool = True, **options: Any) -> Any:
        if self.failure is not None:
            raise self.failure
        if path not in self.listings:
            self.listings[path] = super().ls(path, detail=detail, **options)
        return self.listings[path]

    def invalidate_cache(self, *_: object) -> None:
        self.listings.clear()


fsspec.register_implementation("remote", Remote)


@pytest.fixture(params=["path", "file", "memory", "remote"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    folder = tmp_path / "store"
    written = str(folder) if request.param in ("path", "file") else f"memory:/{folder}"
    made = Place(written, tmp_path / "scratch")
    made.location = {"file": f"file://{folder}", "remote": f"remote:/{folder}"}.get(request.param, written)
    yield made
    if written.startswith("memory:"):
        made.remove_all()


class Reader:
    """A repository that counts what it admits, and the catalog that it made last."""

    def __init__(self, place: Place) -> None:
        self.admitted: list[tuple[str, int]] = []
        self.repository = Repository(Store(place.location), self._admit)
        self.catalog = Catalog()

    def _admit(self, name: str, version: int, data: bytes) -> Manifold:
        self.admitted.append((name, version))
        return admit(name, version, data)

    def renew(self) -> list[tuple[str, int]]:
        self.catalog = self.repository.renew(self.catalog)
        return sorted(self.catalog.releases)

    def refused(self) -> dict[tuple[str, int | None], str]:
        return {(refusal.name, refusal.version): refusal.reason for refusal in self.catalog.refusals}


@pytest.fixture
def reader(place: Place) -> Reader:
    return Reader(place)


def test_every_version_that_can_be_loaded_is_served(place: Place, reader: Reader) -> None:
    digests = {version: place.publish(version, seed=version) for version in (1, 2, 10)}
    place.publish(name="other")
    assert reader.renew() == [("other", 1), ("tiny", 1), ("tiny", 2), ("tiny", 10)]
    assert reader.catalog.manifold("tiny").header.version == 10
    assert reader.catalog.manifold("tiny", 2).size == len(digests[2])
    assert reader.refused() == {}


def test_only_what_is_new_is_loaded(place: Place, reader: Reader) -> None:
    place.publish(1)
    reader.renew()
    first = reader.catalog.manifold("tiny")
    place.publish(2)
    assert reader.renew() == [("tiny", 1), ("tiny", 2)]
    assert reader.admitted == [("tiny", 1), ("tiny", 2)]
    assert reader.catalog.manifold("tiny", 1) is first
    assert reader.catalog.manifold("tiny").header.version == 2


def test_a_version_whose_folder_has_gone_is_withdrawn_and_its_memory_free(place: Place, reader: Reader) -> None:
    place.publish(1)
    place.publish(2)
    reader.renew()
    withdrawn = weakref.ref(reader.catalog.manifold("tiny", 2))
    place.remove("tiny/2")
    gc.disable()  # What was there at start is frozen, so nothing but its references may keep a manifold.
    try:
        assert reader.renew() == [("tiny", 1)]
        assert withdrawn() is None
    finally:
        gc.enable()
    assert reader.catalog.manifold("tiny").header.version == 1


@pytest.mark.parametrize("replacement", [RUBBISH, b""])
def test_a_file_replaced_by_garbage_is_refused_and_the_loaded_one_goes_on(place: Place, reader: Reader, replacement: bytes) -> None:
    original = place.publish()
    reader.renew()
    loaded = reader.catalog.manifold("tiny")
    place.write("tiny/1/manifold.safetensors", replacement)
    for _ in range(2):
        assert reader.renew() == [("tiny", 1)]
        assert reader.catalog.manifold("tiny") is loaded
        assert "versions are immutable: publish it as a new version" in reader.refused()["tiny", 1]
    place.write("tiny/1/manifold.safetensors", original)
    reader.renew()
    assert reader.refused() == {}
    assert reader.catalog.manifold("tiny") is loaded


def test_another_good_file_is_refused_too_even_after_its_version_was_withdrawn(place: Place, reader: Reader) -> None:
    original = place.publish(seed=0)
    place.publish(2)
    reader.renew()
    loaded = reader.catalog.manifold("tiny", 1)
    place.publish(seed=1)
    assert reader.renew() == [("tiny", 1), ("tiny", 2)]
    assert reader.catalog.manifold("tiny", 1) is loaded
    place.remove("tiny/1")
    assert reader.renew() == [("tiny", 2)]
    place.publish(seed=1)
    assert reader.renew() == [("tiny", 2)]
    assert "immutable" in reader.refused()["tiny", 1]
    place.write("tiny/1/manifold.safetensors", original)
    assert reader.renew() == [("tiny", 1), ("tiny", 2)]


def test_a_bad_new_version_is_refused_and_tried_again(place: Place, reader: Reader, caplog: pytest.LogCaptureFixture) -> None:
    place.publish(1)
    data = place.publish(2)
    place.write("tiny/2/manifold.safetensors", data[:-100])
    place.write("rubbish/1/manifold.safetensors", RUBBISH)
    for _ in range(2):
        assert reader.renew() == [("tiny", 1)]
    assert reader.refused().keys() == {("rubbish", 1), ("tiny", 2)}
    for (name, version), reason in reader.refused().items():
        assert caplog.text.count(f"{name} version {version} is refused: {reason}") == 1, "said once"
    with pytest.raises(ManifoldRefused, match="rubbish version 1 was refused"):
        reader.catalog.manifold("rubbish")
    place.write("tiny/2/manifold.safetensors", data)
    assert reader.renew() == [("tiny", 1), ("tiny", 2)]
    assert reader.refused().keys() == {("rubbish", 1)}


def test_a_manifold_that_cannot_be_built_is_refused(place: Place, reader: Reader, tmp_path: Path) -> None:
    manifold = tiny_manifold()
    with torch.no_grad():
        for tensor in manifold.inr.parameters():
            tensor.fill_(1e30)
    manifold.save(tmp_path / "file", half=False)
    place.write("tiny/1/manifold.safetensors", (tmp_path / "file").read_bytes())
    place.publish(name="fine")
    assert reader.renew() == [("fine", 1)]
    assert "cannot be built" in reader.refused()["tiny", 1]


def test_the_folder_must_agree_with_the_header(place: Place, reader: Reader) -> None:
    data = place.publish()
    place.write("other/1/manifold.safetensors", data)
    place.write("tiny/2/manifold.safetensors", data)
    assert reader.renew() == [("tiny", 1)]
    assert reader.refused() == {
        ("other", 1): "the folder says other version 1; the file says tiny version 1.",
        ("tiny", 2): "the folder says tiny version 2; the file says tiny version 1.",
    }


def test_a_version_without_a_file_is_refused_and_a_loaded_one_goes_on(place: Place, reader: Reader) -> None:
    place.publish(1)
    place.write("tiny/1/card.md", b"about this one")
    place.write("tiny/2/card.md", b"about that one")
    reader.renew()
    place.remove("tiny/1/manifold.safetensors")
    assert reader.renew() == [("tiny", 1)]
    assert reader.refused() == dict.fromkeys([("tiny", 1), ("tiny", 2)], "its folder holds no manifold.safetensors.")
    assert not reader.repository.has_changed()


def test_what_is_no_version_is_passed_over(place: Place, reader: Reader) -> None:
    data = place.publish()
    place.write("tiny/card.md", b"about this one")
    for path in ("tiny/0", "tiny/01", "tiny/-1", "tiny/v2", "tiny/1234567890", ".hidden/1", "Upper/1", f"{'x' * 65}/1"):
        place.write(f"{path}/manifold.safetensors", data)
    assert reader.renew() == [("tiny", 1)]
    assert reader.refused() == {}


def test_a_change_is_seen_once(place: Place, reader: Reader) -> None:
    assert not reader.repository.has_changed()
    for change in (
        lambda: place.publish(1),
        lambda: place.publish(2),
        lambda: place.write("tiny/2/manifold.safetensors", RUBBISH),
        lambda: place.write("tiny/aliases.json", b'{"stable": 1}'),
        lambda: place.write("tiny/aliases.json", b'{"stable": 2}'),
        lambda: place.remove("tiny/aliases.json"),
        lambda: place.write("tiny/rungs.json", b'{"small": {"compression": 0.5}}'),
        lambda: place.write("tiny/rungs.json", b'{"small": {"compression": 0.4}}'),
        lambda: place.remove("tiny/rungs.json"),
        lambda: place.remove("tiny/2"),
    ):
        change()
        assert reader.repository.has_changed()
        reader.renew()
        assert not reader.repository.has_changed()


def test_a_store_that_has_gone_withdraws_nothing(place: Place, reader: Reader) -> None:
    place.publish()
    reader.renew()
    place.remove_all()
    for look in (reader.renew, reader.repository.has_changed):
        with pytest.raises(StoreUnavailable, match="NEUMETA_MODELS cannot be read: there is nothing of that name"):
            look()
    assert reader.catalog.manifold("tiny").header.version == 1
    place.publish()
    assert reader.renew() == [("tiny", 1)]


@pytest.mark.parametrize("place", ["remote"], indirect=True)
def test_what_a_backend_raises_changes_nothing_and_tells_no_secret(place: Place, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    place.publish()
    reader.renew()
    monkeypatch.setattr(Remote, "failure", RuntimeError("no route to https://key:secret@bucket"))
    with pytest.raises(StoreUnavailable) as caught:
        reader.renew()
    assert str(caught.value) == "NEUMETA_MODELS cannot be read: RuntimeError."
    assert reader.catalog.manifold("tiny").header.version == 1


def aliased(reader: Reader) -> dict[str, int]:
    return {alias: version for alias, version in reader.catalog.aliases("tiny").items() if alias != "latest"}


def test_aliases_move_with_their_file(place: Place, reader: Reader) -> None:
    place.publish(1)
    place.publish(2)
    for aliases in ({"stable": 1, "edge": 2}, {"stable": 2}, {}):
        place.write("tiny/aliases.json", json.dumps(aliases).encode())
        reader.renew()
        assert aliased(reader) == aliases
    place.write("tiny/aliases.json", b'{"stable": 1}')
    reader.renew()
    assert reader.catalog.manifold("tiny", "stable").header.version == 1
    place.remove("tiny/aliases.json")
    reader.renew()
    assert aliased(reader) == {}


def test_a_bad_file_of_aliases_is_refused_and_the_old_ones_go_on(place: Place, reader: Reader, caplog: pytest.LogCaptureFixture) -> None:
    place.publish(1)
    place.publish(2)
    place.write("tiny/aliases.json", b'{"stable": 1, "edge": 2}')
    reader.renew()
    place.write("tiny/aliases.json", b'{"stable": 3, "edge": 1}')
    place.publish(5)
    reader.renew()
    assert reader.catalog.aliases("tiny") == {"latest": 5, "stable": 1, "edge": 2}
    assert reader.refused() == {("tiny", None): "stable: 3 is not a version that is served; those are: 1, 2, 5."}
    assert "tiny aliases.json is refused: stable: 3 is not" in caplog.text
    place.remove("tiny/2")
    reader.renew()
    assert aliased(reader) == {"stable": 1}, "not what is no longer served"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[1]", "no object"),
        (b"1", "no object"),
        (b'{"latest": 1}', "'latest' is not allowed"),
        (b'{"12": 1}', "'12' is not allowed"),
        (b'{"": 1}', "'' is not allowed"),
        (b'{"Stable": 1}', "'Stable' is not allowed"),
        (b'{"../x": 1}', "not allowed"),
        (b'{"a\\n": 1}', "not allowed"),
        (b'{"stable": "1"}', "not a version that is served; those are: 1"),
        (b'{"stable": true}', "not a version that is served"),
        (b'{"stable": 1.0}', "not a version that is served"),
        (b'{"stable": null}', "not a version that is served"),
        (b'{"stable": [1]}', "not a version that is served"),
    ],
)
def test_what_a_file_of_aliases_may_not_say(reader: Reader, place: Place, data: bytes, reason: str) -> None:
    place.publish()
    place.write("tiny/aliases.json", data)
    assert reader.renew() == [("tiny", 1)]
    assert reason in reader.refused()["tiny", None]
    assert aliased(reader) == {}


def selected(reader: Reader) -> dict[str, Any]:
    return {name: rung.model_dump(exclude_none=True) for name, rung in reader.catalog.rungs("tiny").items()}


def test_rungs_follow_their_file_and_the_old_ones_go_on_after_a_bad_one(place: Place, reader: Reader, caplog: pytest.LogCaptureFixture) -> None:
    place.publish()
    for rungs in ({"small": {"compression": 0.5}, "odd": {"widths": {"conv1": 7}}}, {}, {"tiny": {"budget": {"bytes": 5000, "macs": 9}}}):
        place.write("tiny/rungs.json", json.dumps(rungs).encode())
        reader.renew()
        assert selected(reader) == rungs
    place.write("tiny/rungs.json", b'{"small": {"compression": 1}}')
    place.write("tiny/aliases.json", b'{"stable": 1}')
    reader.renew()
    assert (selected(reader), aliased(reader)) == ({"tiny": {"budget": {"bytes": 5000, "macs": 9}}}, {"stable": 1})
    assert "tiny rungs.json is refused: small.compression: 1" in caplog.text
    place.remove("tiny/rungs.json")
    reader.renew()
    assert reader.refused() == {}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[1]", "no object"),
        (b"null", "no object"),
        (b'{"12": {"compression": 0}}', "'12' is not allowed"),
        (b'{"../x": {"compression": 0}}', "'../x' is not allowed"),
        (b'{"a\\n": {"compression": 0}}', "not allowed"),
        (b'{"small": 0.5}', "small: 0.5 is not allowed; expected an object"),
        (b'{"small": {}}', "exactly one of compression, widths and budget"),
        (b'{"small": {"compression": 0.5, "widths": {"conv1": 2}}}', "exactly one of compression, widths and budget"),
        (b'{"small": {"compression": null}}', "exactly one of compression, widths and budget"),
        (b'{"small": {"compression": "0.5"}}', "small.compression: '0.5' is not allowed; expected a valid number"),
        (b'{"small": {"compression": true}}', "small.compression: True"),
        (b'{"small": {"compression": -0.1}}', "greater than or equal to 0"),
        (b'{"small": {"compression": 1}}', "less than 1"),
        (b'{"small": {"compression": NaN}}', "small.compression"),
        (b'{"small": {"widths": {"conv1": 0}}}', "small.widths.conv1: 0 is not allowed; expected greater than 0"),
        (b'{"small": {"widths": {"conv1": 2.0}}}', "small.widths.conv1"),
        (b'{"small": {"budget": {}}}', "at least one of params, macs, bytes and latency_ms with device"),
        (b'{"small": {"budget": {"bytes": -1}}}', "small.budget.bytes: -1"),
        (b'{"small": {"budget": {"latency_ms": 4}}}', "latency_ms together with device"),
        (b'{"small": {"budget": {"latency_ms": 0, "device": "pi4"}}}', "small.budget.latency_ms: 0"),
        (b'{"small": {"budget": {"seconds": 1}}}', "small.budget.seconds: 1 is not allowed; expected no field of this name"),
        (b'{"small": {"compression": 0.5, "precision": "fp16"}}', "small.precision: 'fp16' is not allowed; expected no field of this name"),
    ],
)
def test_what_a_file_of_rungs_may_not_say(reader: Reader, place: Place, data: bytes, reason: str) -> None:
    place.publish()
    place.write("tiny/rungs.json", data)
    assert reader.renew() == [("tiny", 1)]
    assert reason in reader.refused()["tiny", None]
    assert selected(reader) == {}


def test_links_are_followed(tmp_path: Path) -> None:
    save_tiny(tmp_path / "elsewhere")
    store = tmp_path / "store"
    (store / "tiny").mkdir(parents=True)
    (store / "tiny" / "1").symlink_to(tmp_path / "elsewhere" / "tiny" / "1")
    (store / "tiny" / "2").symlink_to(tmp_path / "nowhere")
    (store / "tiny" / "3").mkdir()
    (store / "tiny" / "3" / "manifold.safetensors").symlink_to(save_tiny(tmp_path / "elsewhere", version=3))
    reader = Reader(Place(str(store), tmp_path / "scratch"))
    assert reader.renew() == [("tiny", 1), ("tiny", 3)]
    save_tiny(tmp_path / "elsewhere", version=3, seed=1)
    assert reader.repository.has_changed(), "what it leads to counts"


def test_a_file_that_cannot_be_read_now_is_tried_again(tmp_path: Path) -> None:
    save_tiny(tmp_path)
    aliases = tmp_path / "tiny" / "aliases.json"
    aliases.write_text('{"stable": 1}')
    place = Place(str(tmp_path), tmp_path / "scratch")
    reader = Reader(place)
    reader.renew()
    shutil.move(tmp_path / "tiny" / "1" / "manifold.safetensors", tmp_path / "kept")
    (tmp_path / "tiny" / "1" / "manifold.safetensors").mkdir()
    assert reader.renew() == [("tiny", 1)]
    assert reader.refused() == {("tiny", 1): "tiny/1/manifold.safetensors cannot be read: Is a directory."}
    assert reader.repository.has_changed(), "it was not read"
    assert reader.catalog.manifold("tiny", "stable").header.version == 1


def test_what_loading_does_to_its_reader_is_a_refusal(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def explode(*_: object) -> None:
        raise MemoryError("a secret of the machine")

    monkeypatch.setattr(Manifold, "materialize", explode)
    save_tiny(tmp_path)
    reader = Reader(Place(str(tmp_path), tmp_path / "scratch"))
    with caplog.at_level(logging.ERROR):
        assert reader.renew() == []
    assert reader.refused() == {("tiny", 1): "the file cannot be loaded: MemoryError."}
    assert "a secret of the machine" in caplog.text
