"""Writing and reading manifold files."""

from __future__ import annotations

import ast
import hashlib
import json
import resource
from pathlib import Path

import neumeta_core
import pytest
import safetensors.torch
import torch
from neumeta_core.errors import InvalidField, ManifoldRefused
from neumeta_core.inr import AnchoredSettings, FactorisedSettings, InrSettings, MlpSettings, Sampling
from neumeta_core.manifold import Manifold

from tests import patched, tiny
from tests.surgery import header_of

KINDS: list[InrSettings] = [
    AnchoredSettings(hidden=8, rank=2),
    AnchoredSettings(hidden=8, rank=2, levels=(0.5,), moments=True, exact=True),
    AnchoredSettings(hidden=8, rank=2, levels=(0.5,), moments=True, scales=6),
    FactorisedSettings(hidden=16, rank=3),
    MlpSettings(layers=3, hidden=8),
    MlpSettings(layers=1, hidden=8, positions="relative"),
]


@pytest.mark.parametrize("settings", KINDS)
@pytest.mark.parametrize("family", [tiny, patched])
def test_a_round_trip_gives_identical_weights(family: object, settings: InrSettings, tmp_path: Path) -> None:
    manifold = tiny.tiny_manifold(settings) if family is tiny else patched.patched_manifold(settings)
    manifold.save(tmp_path / "exact.safetensors", half=False)
    exact = Manifold.load(tmp_path / "exact.safetensors")
    assert exact.header == manifold.header
    assert exact.template == manifold.template
    for compression in (0.0, 0.3, 0.75):
        member = manifold.configure(compression)
        before, after = manifold.materialize(member), exact.materialize(member)
        assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_half_file_loses_its_digits_once(tmp_path: Path) -> None:
    tiny.tiny_manifold().save(tmp_path / "first.safetensors")
    first = Manifold.load(tmp_path / "first.safetensors")
    first.save(tmp_path / "second.safetensors")
    data = (tmp_path / "first.safetensors").read_bytes()
    assert (tmp_path / "second.safetensors").read_bytes() == data
    assert (first.digest, first.size) == (f"sha256:{hashlib.sha256(data).hexdigest()}", len(data))
    tiny.tiny_manifold().save(tmp_path / "exact.safetensors", half=False)
    exact = Manifold.load(tmp_path / "exact.safetensors")
    member = exact.configure(0.3)
    for name, values in exact.materialize(member).items():
        assert torch.allclose(values, first.materialize(member)[name], atol=2e-3)


def test_everything_of_the_header_comes_back(tmp_path: Path) -> None:
    training = {"recipe": "lenet", "seeds": [1, 2], "held out": [[0.28, 0.33]], "nothing": None, "deep": {"a": {"b": 1.5}}}
    manifold = tiny.tiny_manifold(name="other-name", version=7, training=training, sampling=Sampling(count=3, noise=0.5, seed=11))
    manifold.save(tmp_path / "m.safetensors")
    loaded = Manifold.load(tmp_path / "m.safetensors")
    assert loaded.header == manifold.header
    assert loaded.header.training == training
    assert loaded.arithmetic == "cpu-fp32-k3"
    assert loaded.fingerprint.startswith("cpu-fp32-k3-torch")


def test_the_canary_comes_back_and_may_be_missing(tiny_manifold: Manifold, patched_manifold: Manifold) -> None:
    assert tiny_manifold.canary is not None
    assert tiny_manifold.canary.inputs.dtype == torch.uint8
    assert tiny_manifold.canary.labels.tolist() == [0, 1]
    assert patched_manifold.canary is None


def test_loading_leaves_the_global_random_state_alone(tiny_bytes: bytes) -> None:
    before = torch.random.get_rng_state()
    Manifold.from_bytes(tiny_bytes)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_loaded_manifold_is_not_trained_by_accident(tiny_manifold: Manifold) -> None:
    assert not tiny_manifold.inr.training
    assert not any(parameter.requires_grad for parameter in tiny_manifold.inr.parameters())


def test_the_file_is_json_and_plain_tensors_without_gaps(tiny_bytes: bytes) -> None:
    length = int.from_bytes(tiny_bytes[:8], "little")
    entries = json.loads(tiny_bytes[8 : 8 + length])
    assert entries.pop("__metadata__").keys() == {"neumeta"}
    assert {entry["dtype"] for entry in entries.values()} == {"F16", "U8", "I64"}
    assert {name.split(".")[0] for name in entries} == {"inr", "template", "canary"}
    spans = sorted(tuple(entry["data_offsets"]) for entry in entries.values())
    ends = [0, *(end for _, end in spans)]
    assert [begin for begin, _ in spans] == ends[:-1]
    assert 8 + length + ends[-1] == len(tiny_bytes)
    assert json.loads(json.dumps(header_of(tiny_bytes), allow_nan=False))["format_version"] == 1


def test_the_core_knows_no_pickle() -> None:
    for path in Path(neumeta_core.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
                assert not {"pickle", "dill", "joblib", "shelve", "marshal"}.intersection(names), path
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert (node.value.id, node.attr) not in {("torch", "load"), ("torch", "save"), ("np", "load")}, path


def test_a_write_that_fails_leaves_the_old_file_whole_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    tiny.tiny_manifold().save(path)
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            tiny.tiny_manifold(version=2).save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_an_interruption_before_the_rename_leaves_the_old_file_whole_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.safetensors"
    tiny.tiny_manifold().save(path)
    before = path.read_bytes()

    def interrupt(partial: Path, target: Path) -> None:
        assert target.read_bytes() == before
        assert Manifold.load(partial).header.version == 2
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        tiny.tiny_manifold(version=2).save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_saving_makes_folders_and_replaces_old_files(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "m.safetensors"
    tiny.tiny_manifold().save(path)
    tiny.tiny_manifold(version=2).save(path)
    assert Manifold.load(path).header.version == 2
    assert list(path.parent.iterdir()) == [path]


def test_values_that_fp16_cannot_hold_are_not_written(tmp_path: Path) -> None:
    manifold = tiny.tiny_manifold()
    next(iter(manifold.inr.parameters())).fill_(1e6)
    with pytest.raises(ManifoldRefused, match=r"holds values that are not finite in torch\.float16"):
        manifold.save(tmp_path / "m.safetensors")
    assert list(tmp_path.iterdir()) == []
    manifold.save(tmp_path / "m.safetensors", half=False)
    Manifold.load(tmp_path / "m.safetensors")


def test_a_path_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifoldRefused, match=r"nowhere cannot be read: No such file or directory\."):
        Manifold.load(tmp_path / "nowhere")
    with pytest.raises(ManifoldRefused, match="cannot be read: Is a directory"):
        Manifold.load(tmp_path)


def test_templates_are_parsed_once_for_every_known_precision(tiny_manifold: Manifold) -> None:
    assert tiny_manifold.encoding_in("fp16") is tiny_manifold.encoding_in("fp16")
    assert tiny_manifold.encoding_in("fp32") is not tiny_manifold.encoding_in("fp16")
    with pytest.raises(InvalidField):
        tiny_manifold.encoding_in("int3")


def test_safetensors_alone_can_read_the_file(tiny_bytes: bytes) -> None:
    tensors = safetensors.torch.load(tiny_bytes)
    assert tensors["template"].dtype == torch.uint8
