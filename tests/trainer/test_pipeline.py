from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from neumeta_core.assembly import assemble
from neumeta_core.inr import AnchoredSettings, MlpSettings
from neumeta_core.manifold import Manifold
from neumeta_trainer.config import Optimization, Recipe
from neumeta_trainer.data import ImageSet, Splits, load_digits
from neumeta_trainer.data.stages import calibration_batches
from neumeta_trainer.errors import CheckpointRefused
from neumeta_trainer.pipeline import run
from neumeta_trainer.recipes.digits import digits, digits_paper
from neumeta_trainer.results.recording import records_of
from neumeta_trainer.results.report import Result, write_report
from neumeta_trainer.training.progress import LogProgress
from torch import nn

HELD_OUT = ((0.45, 0.55),)


def short(recipe: Recipe) -> Recipe:
    """The digits recipe in a third of its steps, with an interval of widths held out."""
    assert recipe.family is not None
    family = dataclasses.replace(recipe.family, optimization=dataclasses.replace(recipe.family.optimization, steps=120))
    return dataclasses.replace(recipe, family=family, held_out=HELD_OUT, curve=(0.0, 0.25, 0.5, 0.75))


@pytest.fixture(scope="module")
def splits() -> Splits:
    return load_digits()


@pytest.fixture(scope="module")
def trained(splits, tmp_path_factory) -> tuple[Result, Path]:
    out = tmp_path_factory.mktemp("digits")
    result = run(short(digits()), splits, out, LogProgress(), final=True)
    write_report(result, out)
    return result, out


def onnx_accuracy(manifold: Manifold, compression: float, splits: Splits, precision: str = "fp32") -> float:
    member = manifold.configure(compression=compression)
    artifact = assemble(manifold, member, manifold.materialize(member), precision)
    inputs = splits.prepare(splits.test.images).contiguous().numpy()
    logits = onnxruntime.InferenceSession(artifact.data).run(None, {"input": inputs})[0]
    return float((logits.argmax(axis=1) == splits.test.labels.numpy()).mean())


def test_every_size_works_and_the_curve_promises_what_onnx_measures(trained, splits):
    manifold = trained[0].manifold
    assert [point.held_out for point in manifold.header.curve.points] == [False, False, True, False]
    for point in manifold.header.curve.points:
        measured = onnx_accuracy(manifold, point.compression, splits)
        assert point.quality > 0.93, point
        assert measured == pytest.approx(point.quality, abs=1.5 / 360)


def test_artifacts_of_every_precision_are_measured_and_promised(trained, splits):
    manifold = trained[0].manifold
    for point in manifold.header.curve.points:
        assert point.quality_in == {precision: onnx_accuracy(manifold, point.compression, splits, precision) for precision in ("fp16", "int8")}
        assert min(point.quality_in.values()) > 0.93, point
        for precision, quality in point.quality_in.items():
            promised = manifold.quality(point.widths, precision)
            assert (promised.value, promised.kind, promised.precision) == (quality, "measured", precision)


def test_the_file_says_how_it_was_made(trained):
    training = trained[0].manifold.header.training
    assert training["held_out_ratios"] == [[0.45, 0.55]]
    assert training["images"] == 1437
    assert training["recipe"]["family"]["members"] == 2
    assert training["versions"]["torch"] == torch.__version__


def test_the_canaries_are_real_images_that_the_network_knows(trained, splits):
    manifold = trained[0].manifold
    canary = manifold.canary
    assert torch.equal(canary.inputs, splits.test.images[:16])
    assert torch.equal(canary.labels, splits.test.labels[:16])


@pytest.mark.parametrize("stage", ["family", "base"])
def test_normalization_is_calibrated_on_images_that_are_augmented_as_in_training(splits, stage):
    recipe = dataclasses.replace(digits(), family=None, base=None, fit=dataclasses.replace(digits().fit, calibration=512))
    bright = ImageSet(torch.full_like(splits.train.images, 16), splits.train.labels)
    plain = calibration_batches(recipe, bright, splits)
    moved = calibration_batches(dataclasses.replace(recipe, **{stage: dataclasses.replace(digits().family, shift=2)}), bright, splits)
    assert [len(inputs) for inputs, _ in plain] == [len(inputs) for inputs, _ in moved] == [256, 256]
    assert all((inputs == inputs.max()).all() for inputs, _ in plain)
    assert all((inputs.flatten(1).min(dim=1).values < inputs.max()).float().mean() > 0.9 for inputs, _ in moved)


def test_calibration_takes_what_there_is(splits):
    few = splits.train.take(torch.arange(100))
    assert [len(inputs) for inputs, _ in calibration_batches(digits(), few, splits)] == [100] * (512 // 100)


def test_the_report_and_the_picture_are_written(trained):
    _, out = trained
    assert {path.name for path in out.iterdir()} == {"manifold.safetensors", "report.json", "curve.png", "checkpoints"}
    assert (out / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_the_slices_without_an_inr_are_reported(trained):
    slices = trained[0].slices
    assert slices.keys() == {0.0, 0.25, 0.5, 0.75}
    assert all(quality > 0.93 for quality in slices.values())


def test_members_of_unequal_widths_are_measured_beside_the_family_s_slices(trained, splits):
    _, out = trained
    assert json.loads((out / "report.json").read_text())["unequal"] == {}
    recipe = dataclasses.replace(short(digits()), unequal=5, beyond=(0.2, 1.25))
    again = run(recipe, splits, out, LogProgress(), final=True)
    assert len({point.macs for point in again.unequal}) > 1
    assert len(again.unequal) == len(again.unequal_slices) == 5
    assert min(*(point.quality for point in again.unequal), *again.unequal_slices) > 0.9
    write_report(again, out)
    told, found = json.loads((out / "report.json").read_text())["unequal"], [point.quality for point in again.unequal]
    assert told == pytest.approx({"members": 5, "mean": sum(found) / 5, "lowest": min(found), "mean_of_slices": sum(again.unequal_slices) / 5})
    # The anchored kind has no weights above full width; below the smallest member it has.
    assert [(point.compression, point.widths) for point in again.beyond] == [(0.8, "extrapolated")]

    manifold, slices = records_of(recipe, again, "neumeta train digits")
    assert (manifold.method, slices.method) == ("anchored", "slices")
    beside = dataclasses.replace(recipe, name="digits-other", study="digits")
    assert [record.method for record in records_of(beside, again, "")] == ["anchored", "slices of other"]
    assert len(manifold.measurements) == 4 + 5 + 1
    assert len(slices.measurements) == 4 + 5
    assert [point.quality for point in slices.measurements[4:]] == list(again.unequal_slices)
    assert manifold.training == {"family": 120, "fit": 300, "tune": 60}
    assert manifold.trained_macs > slices.trained_macs > 120 * 64 * max(point.macs for point in slices.measurements)
    assert manifold.seconds > slices.seconds > 0
    assert manifold.file["bytes"] == again.manifold.size


LEVELS = (0.75, 0.25)


def with_levels(recipe: Recipe) -> Recipe:
    # The losses of a step add up, and a step has one more of them: half the rate.
    optimization = dataclasses.replace(recipe.family.optimization, rate=recipe.family.optimization.rate / 2)
    family = dataclasses.replace(recipe.family, optimization=optimization, levels=LEVELS, upward=0.3)
    return dataclasses.replace(recipe, family=family, inr=recipe.inr.model_copy(update={"levels": LEVELS}))


def test_at_its_levels_a_manifold_starts_as_the_family(splits, tmp_path):
    untrained = dataclasses.replace(short(digits()).fit, optimization=Optimization(steps=0, rate=1e-3))
    recipe = dataclasses.replace(with_levels(short(digits())), fit=untrained, tune=None)
    result = run(recipe, splits, tmp_path, LogProgress(), final=True)
    for point in result.manifold.header.curve.points:
        assert point.quality > 0.9
        if point.compression != 0.5:
            assert point.quality == pytest.approx(result.slices[point.compression], abs=1.5 / 360), point  # the file holds fp16
    sizes = [result.manifold.configure(compression=c) for c in (0.0, 0.25, 0.75)]
    made = [result.manifold.materialize(size)["conv1.weight"] for size in sizes]
    assert not any(torch.allclose(narrow, made[0][: len(narrow)], rtol=0.1) for narrow in made[1:])


def test_with_moments_prefixes_start_as_good_as_calibrated_slices(splits, tmp_path):
    untrained = dataclasses.replace(short(digits()).fit, optimization=Optimization(steps=0, rate=1e-3), targets=0)
    recipes = [
        dataclasses.replace(short(digits()), fit=untrained, tune=None, inr=AnchoredSettings(hidden=16, rank=2, moments=yes)) for yes in (False, True)
    ]
    results = [run(recipe, splits, tmp_path / f"{k}", LogProgress(), final=True, networks=tmp_path) for k, recipe in enumerate(recipes)]
    blind, told = ({point.compression: point.quality for point in result.manifold.header.curve.points} for result in results)
    for compression, quality in results[1].slices.items():
        assert told[compression] > quality - 0.03, compression
    assert told[0.75] > blind[0.75] + 0.1


def test_row_scales_learn_from_calibrated_members_and_a_second_run_reads_them(splits, tmp_path):
    fit = dataclasses.replace(short(digits()).fit, optimization=Optimization(steps=300, rate=1e-2), targets=12, target_calibration=256)
    inr = AnchoredSettings(hidden=8, rank=2, moments=True, scales=8)
    recipe = dataclasses.replace(short(digits()), fit=fit, tune=None, inr=inr, unequal=4)
    result = run(recipe, splits, tmp_path, LogProgress(), final=True)
    assert result.manifold.inr.get_parameter("row_scales.out.bias").any()
    assert min(point.quality for point in result.unequal) > min(result.unequal_slices) - 0.05
    seconds = result.seconds["targets"]
    assert seconds > 0
    manifold, slices = records_of(recipe, result, "neumeta train digits")
    assert manifold.seconds == pytest.approx(slices.seconds + seconds + result.seconds["fit"], abs=0.2)  # each is rounded
    again = run(recipe, splits, tmp_path, LogProgress(), final=True)
    assert again.seconds["targets"] == seconds
    assert again.manifold.digest == result.manifold.digest


def test_a_second_run_only_reads_checkpoints_and_gives_the_same_file(trained, splits):
    result, out = trained
    again = run(short(digits()), splits, out, LogProgress(), final=True)
    assert again.manifold.digest == result.manifold.digest


def test_images_that_are_prepared_in_another_way_are_other_images(trained, splits):
    _, out = trained
    with pytest.raises(CheckpointRefused):
        run(short(digits()), dataclasses.replace(splits, std=tuple(2 * value for value in splits.std)), out, LogProgress(), final=True)


def test_a_network_that_a_recipe_hands_out_again_stays_as_it_was(splits, tmp_path):
    network = digits().network()
    before = {name: values.clone() for name, values in network.state_dict().items()}
    recipe = dataclasses.replace(digits_paper(), network=lambda: network, curve=(0.0,))
    base = dataclasses.replace(recipe.base, optimization=dataclasses.replace(recipe.base.optimization, steps=30))
    fit = dataclasses.replace(recipe.fit, optimization=dataclasses.replace(recipe.fit.optimization, steps=0))
    recipe = dataclasses.replace(recipe, base=base, fit=fit, tune=None)
    first, second = (run(recipe, splits, tmp_path, LogProgress()).manifold.digest for _ in range(2))
    assert first == second
    assert all(torch.equal(values, before[name]) for name, values in network.state_dict().items())


def test_coordinate_networks_may_start_without_a_warm_start(splits, tmp_path):
    recipe = digits_paper()
    few = {
        name: dataclasses.replace(stage, optimization=dataclasses.replace(stage.optimization, steps=0))
        for name, stage in (("base", recipe.base), ("fit", recipe.fit))
    }
    result = run(dataclasses.replace(recipe, **few, tune=None, curve=(0.0,)), splits, tmp_path, LogProgress())
    assert result.manifold.header.training["recipe"]["fit"]["optimization"]["steps"] == 0


def test_widths_outside_of_the_trained_range_are_multiples_that_the_network_has(splits, tmp_path):
    recipe = dataclasses.replace(short(digits()), granularity=2, held_out=(), curve=(0.0,), beyond=(0.19,), tune=None)
    steps = dataclasses.replace(recipe.family.optimization, steps=2)
    fit = dataclasses.replace(recipe.fit, optimization=dataclasses.replace(recipe.fit.optimization, steps=0), targets=0)
    recipe = dataclasses.replace(recipe, family=dataclasses.replace(recipe.family, optimization=steps), fit=fit)
    (point,) = run(recipe, splits, tmp_path, LogProgress()).beyond
    assert point.params == (9 + 1) * 4 + (4 * 9 + 1) * 6 + (6 * 16 + 1) * 10  # 4 of 16 and 6 of 32 channels


def test_without_final_the_test_split_is_left_alone(splits, tmp_path):
    poisoned = dataclasses.replace(splits, test=dataclasses.replace(splits.test, labels=torch.full_like(splits.test.labels, 9)))
    recipe = dataclasses.replace(short(digits()), tune=None)
    result = run(recipe, poisoned, tmp_path, LogProgress())
    assert result.manifold.header.curve.split == "validation"
    assert all(point.quality > 0.9 for point in result.manifold.header.curve.points)


def test_kind_mlp_learns_the_same_family_from_the_folder_of_its_run(trained, splits, tmp_path):
    recipe = short(digits())
    fit = dataclasses.replace(recipe.fit, optimization=Optimization(steps=500, rate=3e-3))
    recipe = dataclasses.replace(recipe, inr=MlpSettings(layers=3, hidden=48), fit=fit, beyond=(0.2, 1.25))
    result = run(recipe, splits, tmp_path, LogProgress(), final=True, networks=trained[1])
    manifold = result.manifold
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"fit.pt", "tune.pt"}
    assert result.slices == trained[0].slices
    assert manifold.header.inr.kind == "mlp"
    assert [point.compression for point in result.beyond] == [0.8, -0.25]
    assert result.beyond[1].macs > manifold.header.curve.points[0].macs
    for point in manifold.header.curve.points[:3]:
        assert point.quality > 0.85, point
        assert onnx_accuracy(manifold, point.compression, splits) == pytest.approx(point.quality, abs=1.5 / 360)


def test_the_papers_recipe_works_with_noise_and_averaged_samples(splits, tmp_path):
    manifold = run(digits_paper(), splits, tmp_path, LogProgress()).manifold
    assert manifold.header.sampling.count == 8
    assert min(point.quality for point in manifold.header.curve.points) > 0.85
    member = manifold.configure(compression=0.2)
    first, second = manifold.materialize(member), manifold.materialize(member)
    assert all(torch.equal(values, second[name]) for name, values in first.items())


def test_a_trained_network_can_be_brought_along_without_training_it_again(splits, tmp_path):
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(1, 12, 3, padding=1)
            self.inner = nn.Conv2d(12, 8, 3, padding=1)
            self.outer = nn.Conv2d(8, 12, 3, padding=1)
            self.head = nn.Linear(12 * 64, 10)

        def forward(self, x):
            x = torch.relu(self.stem(x))
            x = torch.relu(x + self.outer(torch.relu(self.inner(x))))
            return self.head(x.flatten(1))

    torch.manual_seed(0)
    network = Residual()
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    inputs = splits.prepare(splits.train.images)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(inputs), splits.train.labels).backward()
        optimizer.step()
    network.eval()
    base = digits()
    recipe = dataclasses.replace(base, name="mine", network=lambda: network, family=None, order="importance", curve=(0.0, 0.2), max_compression=0.25)
    manifold = run(recipe, splits, tmp_path, LogProgress(), final=True).manifold
    with torch.no_grad():
        own = float((network(splits.prepare(splits.test.images)).argmax(1) == splits.test.labels).float().mean())
    full, narrow = (point.quality for point in manifold.header.curve.points)
    assert full > own - 0.02
    assert narrow > own - 0.05
    assert np.isclose(onnx_accuracy(manifold, 0.0, splits), full, atol=1.5 / 360)
