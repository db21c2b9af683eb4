"""Members of a file as modules, and the commands, on the small digits network."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from neumeta_core.assembly import assemble
from neumeta_core.manifold import Manifold
from neumeta_trainer.analyses.members import member_network
from neumeta_trainer.analyses.similarity import outputs_and_activations
from neumeta_trainer.cli import app
from neumeta_trainer.data import load_digits
from neumeta_trainer.errors import AnalysisRefused
from neumeta_trainer.networks.small import SmallNet
from neumeta_trainer.recipes.digits import digits
from neumeta_trainer.results.record import MatrixRecord, read_matrices, read_records
from typer.testing import CliRunner

SETTINGS = ("family.optimization.steps=30", "fit.optimization.steps=20", "tune.optimization.steps=5", "curve=[0,0.5]")
FEW = [f"--set={assignment}" for assignment in SETTINGS]


def neumeta(*arguments: object) -> None:
    result = CliRunner().invoke(app, [*map(str, arguments), *FEW])
    assert result.exit_code == 0, result.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run of the digits recipe, and the records of both analyses."""
    folder: Path = tmp_path_factory.mktemp("analyses")
    neumeta("train", "digits", "--out", folder / "run")
    common = ("--alone", folder / "alone", "--records", folder / "records")
    neumeta("analyse", "similarity", "digits", "--run", folder / "run", *common, "--compression", 0, "--compression", 0.5, "--images", 60)
    neumeta("analyse", "variation", "digits", *common)
    return folder


@pytest.fixture(scope="module")
def manifold(folder: Path) -> Manifold:
    return Manifold.load(folder / "run" / "manifold.safetensors")


@pytest.mark.parametrize("compression", [0.0, 0.4])
def test_a_member_computes_what_its_artifact_computes(manifold: Manifold, compression: float) -> None:
    splits = load_digits()
    inputs = splits.prepare(splits.test.images[:40])
    member = manifold.configure(compression=compression)
    artifact = assemble(manifold, member, manifold.materialize(member))
    expected = onnxruntime.InferenceSession(artifact.data).run(None, {"input": inputs.numpy()})[0]
    logits, activations = outputs_and_activations(member_network(manifold, digits(), member), inputs)
    assert np.abs(logits.numpy() - expected).max() <= 1e-4 * np.abs(expected).max()
    assert activations.shape == (40, 16 * member["conv2"])


def test_another_network_is_refused(manifold: Manifold) -> None:
    with pytest.raises(AnalysisRefused, match="another network than the recipe's"):
        member_network(manifold, dataclasses.replace(digits(), network=lambda: SmallNet(width=8)), manifold.configure(compression=0.0))


def test_similarities_of_three_sets_are_recorded(folder: Path) -> None:
    found = {(record.analysis, record.subject): record for record in read_matrices(folder / "records") if record.analysis != "variation"}
    subjects = [f"{name} {', '.join(SETTINGS)}" for name in ("manifold", "alone", "alone distilled")]
    assert found.keys() == {(analysis, subject) for analysis in ("cka", "kl") for subject in subjects}
    for (analysis, _), record in found.items():
        assert (record.recipe, record.split, record.samples, record.rows) == ("digits", "validation", 60, ("0", "0.5"))
        same, other = values_of(record)
        assert same == pytest.approx([1, 1] if analysis == "cka" else [0, 0], abs=1e-6)
        assert all(0 < value < (1 if analysis == "cka" else 20) for value in other)
    assert not read_records(folder / "records")


def values_of(record: MatrixRecord) -> tuple[list[float], list[float]]:
    """On the diagonal, and beside it."""
    (first, above), (below, last) = record.values
    assert None not in (first, above, below, last)
    return [first, last], [above, below]


def test_variations_are_recorded(folder: Path) -> None:
    (record,) = (record for record in read_matrices(folder / "records") if record.analysis == "variation")
    assert (record.subject, record.rows) == (", ".join(SETTINGS), ("conv1", "conv2", "all groups"))
    identity, ours = (record.columns.index(order) for order in ("identity", "ours"))
    assert all(row[ours] <= row[identity] for row in record.values)
    assert str(folder) not in record.command


def test_checkpoints_of_networks_trained_alone_are_read_again(folder: Path) -> None:
    checkpoints = {path: path.stat().st_mtime_ns for path in (folder / "alone" / "checkpoints").iterdir()}
    assert {path.name for path in checkpoints} == {"alone-0.pt", "alone-0.5.pt", "alone-0.5-distilled.pt"}
    neumeta("analyse", "variation", "digits", "--alone", folder / "alone", "--records", folder / "again")
    assert {path: path.stat().st_mtime_ns for path in (folder / "alone" / "checkpoints").iterdir()} == checkpoints
