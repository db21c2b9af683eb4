from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from neumeta_core.errors import ManifoldRefused
from neumeta_service.catalog import Catalog, load_catalog
from neumeta_service.errors import ModelNotFound

from tests.tiny import save_tiny, tiny_manifold


def served(catalog: Catalog) -> list[tuple[str, int]]:
    return [(manifold.header.name, manifold.header.version) for manifold in catalog]


def test_the_newest_version_is_served(tmp_path: Path) -> None:
    for version in (1, 2, 10):
        save_tiny(tmp_path, version=version)
    catalog = load_catalog(tmp_path, "cpu")
    assert served(catalog) == [("tiny", 10)]
    assert catalog.refusals == ()


def test_a_corrupt_file_is_refused_and_the_others_are_served(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_tiny(tmp_path, name="fine")
    save_tiny(tmp_path, version=1)
    newest = save_tiny(tmp_path, version=2)
    newest.write_bytes(newest.read_bytes()[:-100])
    save_tiny(tmp_path, name="rubbish").write_bytes(b"rubbish")
    catalog = load_catalog(tmp_path, "cpu")
    assert served(catalog) == [("fine", 1), ("tiny", 1)]
    assert [(refusal.name, refusal.version) for refusal in catalog.refusals] == [("rubbish", 1), ("tiny", 2)]
    for refusal in catalog.refusals:
        assert f"{refusal.name} version {refusal.version} is refused: {refusal.reason}" in caplog.text
    with pytest.raises(ManifoldRefused, match="rubbish version 1 was refused at start"):
        catalog.manifold("rubbish")
    assert catalog.manifold("tiny").header.version == 1


def test_a_manifold_that_cannot_be_built_is_refused(tmp_path: Path) -> None:
    manifold = tiny_manifold()
    with torch.no_grad():
        for tensor in manifold.inr.parameters():
            tensor.fill_(1e30)
    manifold.save(tmp_path / "tiny" / "1" / "manifold.safetensors", half=False)
    save_tiny(tmp_path, name="fine")
    catalog = load_catalog(tmp_path, "cpu")
    assert served(catalog) == [("fine", 1)]
    assert "cannot be built" in catalog.refusals[0].reason


def test_the_folder_must_agree_with_the_header(tmp_path: Path) -> None:
    source = save_tiny(tmp_path / "source")
    for name, version in (("other", "1"), ("tiny", "2")):
        target = tmp_path / "models" / name / version
        target.mkdir(parents=True)
        shutil.copy(source, target)
    catalog = load_catalog(tmp_path / "models", "cpu")
    assert len(catalog) == 0
    assert [refusal.reason for refusal in catalog.refusals] == [
        "the folder says other version 1; the file says tiny version 1.",
        "the folder says tiny version 2; the file says tiny version 1.",
    ]


def test_a_version_without_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tiny" / "1").mkdir(parents=True)
    (refusal,) = load_catalog(tmp_path, "cpu").refusals
    assert "manifold.safetensors cannot be read" in refusal.reason


def test_what_is_no_version_is_passed_over(tmp_path: Path) -> None:
    save_tiny(tmp_path)
    (tmp_path / "README.md").write_text("about the models")
    (tmp_path / "tiny" / "card.md").write_text("about this one")
    for folder in ("latest", "0", "01", "-1", ".hidden"):
        (tmp_path / "tiny" / folder).mkdir()
    (tmp_path / "empty").mkdir()
    catalog = load_catalog(tmp_path, "cpu")
    assert served(catalog) == [("tiny", 1)]
    assert catalog.refusals == ()


def test_look_ups(tmp_path: Path) -> None:
    save_tiny(tmp_path)
    catalog = load_catalog(tmp_path, "cpu")
    manifold = catalog.manifold("tiny")
    assert catalog.by_digest(manifold.digest) is manifold
    for look_up in (catalog.manifold, catalog.by_digest):
        with pytest.raises(ModelNotFound):
            look_up("nobody")
