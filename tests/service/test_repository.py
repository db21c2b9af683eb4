"""From files to what is served, on a folder and on fsspec's object store in memory."""

from __future__ import annotations

import gc
import logging
import shutil
import weakref
from pathlib import Path

import pytest
import torch
from neumeta_core.errors import ManifoldRefused
from neumeta_core.manifold import Manifold
from neumeta_service.errors import StoreUnavailable

from tests.service.stores import Place, Reader, Remote
from tests.tiny import save_tiny, tiny_manifold

RUBBISH = b"rubbish"


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
