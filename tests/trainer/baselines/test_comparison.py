from __future__ import annotations

import copy
import dataclasses
from functools import cache, partial

import pytest
from neumeta_core.configuration import uniform
from neumeta_trainer.baselines.comparison import METHODS, baseline_records, check_size
from neumeta_trainer.baselines.experiment import Experiment
from neumeta_trainer.baselines.pruning import pruning_order
from neumeta_trainer.baselines.resampling import resampled
from neumeta_trainer.config import Recipe
from neumeta_trainer.data import load_digits
from neumeta_trainer.errors import RecipeRefused
from neumeta_trainer.recipes.digits import digits
from neumeta_trainer.results.evaluate import accuracy
from neumeta_trainer.structure.fusion import fuse_batch_norm
from neumeta_trainer.structure.ordering import channel_order, permute
from neumeta_trainer.structure.resize import resized
from neumeta_trainer.training.calibration import calibrated
from neumeta_trainer.training.progress import LogProgress
from torch import nn

from tests.trainer.networks_zoo import ResidualBlock

STEPS = 150
EVERYWHERE = [method for method in METHODS if method != "zero block"]


def short(recipe: Recipe, **changes) -> Recipe:
    family = dataclasses.replace(recipe.family, optimization=dataclasses.replace(recipe.family.optimization, steps=STEPS))
    return dataclasses.replace(recipe, family=family, tune=None, curve=(0.0, 0.4, 0.75), **changes)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory) -> Experiment:
    return Experiment(short(digits()), load_digits(), tmp_path_factory.mktemp("experiment"), LogProgress())


@pytest.fixture(scope="module")
def records(experiment):
    return {record.method: record for record in baseline_records(experiment.recipe, experiment.splits, experiment.out, LogProgress())}


def test_all_methods_of_the_recipe_are_recorded(records):
    assert list(records) == EVERYWHERE
    for method, record in records.items():
        assert (record.recipe, record.split, record.samples) == ("digits", "validation", 120)
        assert [point.compression for point in record.measurements] == [0.0, 0.4, 0.75]
        assert record.command == f"neumeta baselines digits --method '{method}'"
        assert list(record.training.values()) == [STEPS]


@pytest.mark.parametrize("method", EVERYWHERE)
def test_every_method_has_the_sizes_of_a_member(records, method):
    # SmallNet without normalization, 4 and 8 of 16 and 32 channels, 8x8 images, a 4x4 map before the head.
    smallest = records[method].measurements[-1]
    assert smallest.params == (9 + 1) * 4 + (4 * 9 + 1) * 8 + (8 * 16 + 1) * 10
    assert smallest.macs == 64 * (9 * 4 + 4 * 9 * 8) + 8 * 16 * 10


@pytest.mark.parametrize("method", [method for method in EVERYWHERE if "slimmable" not in method])
def test_at_full_width_every_method_is_the_network_that_was_trained_alone(experiment, records, method):
    network = copy.deepcopy(experiment.pretrained.network)
    if method.endswith("calibrated"):
        network = calibrated(network, experiment.calibration)
    assert records[method].measurements[0].quality == accuracy(network, experiment.parts[1], experiment.splits)
    assert records[method].measurements[0].quality > 0.9


def test_a_bare_slice_is_measured_as_it_is(experiment, records):
    for point in records["prefix none"].measurements:
        member = resized(experiment.pretrained.network, experiment.architecture, uniform(experiment.architecture, point.compression), None)
        assert point.quality == accuracy(member, experiment.parts[1], experiment.splits)


CASES = [
    ("prefix none", "none", None),
    ("prefix importance", "importance", None),
    ("prefix smooth", "smooth", None),
    ("linear", "none", "mean"),
    ("linear smooth", "smooth", "mean"),
    ("integral", "smooth", "trapezoid"),
]


@pytest.mark.parametrize(("name", "order", "rule"), CASES)
def test_methods_use_the_order_and_the_rule_in_their_name(experiment, records, name, order, rule):
    network, configuration = experiment.pretrained.network, uniform(experiment.architecture, 0.75)
    ordered = permute(network, experiment.architecture, channel_order(network, experiment.architecture, order))
    make = partial(resampled, rule=rule) if rule else partial(resized, parameters=None)
    member = make(ordered, experiment.architecture, configuration)
    assert records[name].measurements[2].quality == accuracy(member, experiment.parts[1], experiment.splits)
    own = calibrated(member, experiment.calibration)
    assert records[f"{name} calibrated"].measurements[2].quality == accuracy(own, experiment.parts[1], experiment.splits)


@pytest.mark.parametrize("importance", ["l1", "l2", "taylor", "hessian", "random"])
def test_pruning_keeps_what_its_importance_says(experiment, records, importance):
    network, configuration = experiment.pretrained.network, uniform(experiment.architecture, 0.75)
    order = pruning_order(network, experiment.architecture, importance, experiment.labelled)
    member = resized(permute(network, experiment.architecture, order), experiment.architecture, configuration, None)
    assert records[f"prune {importance}"].measurements[2].quality == accuracy(member, experiment.parts[1], experiment.splits)


def test_calibration_matters(records):
    for method in ("prune l1", "prefix none", "integral"):
        bare, own = (records[name].measurements for name in (method, f"{method} calibrated"))
        assert bare[2].quality != own[2].quality


def test_training_at_many_sizes_beats_slices_of_one_network(records):
    qualities = {method: record.measurements[2].quality for method, record in records.items()}
    assert qualities["slimmable"] > qualities["prefix none calibrated"] + 0.2
    assert qualities["universally slimmable"] > qualities["prefix none calibrated"]


def test_what_training_never_saw_is_marked(records):
    assert [point.widths for point in records["slimmable"].measurements] == ["trained", "held_out", "trained"]
    assert {point.widths for method in EVERYWHERE if method != "slimmable" for point in records[method].measurements} == {"trained"}


def test_the_cost_of_training_is_recorded(experiment, records):
    alone, fixed, universal = (records[method].trained_macs for method in ("linear", "slimmable", "universally slimmable"))
    assert alone == STEPS * 64 * experiment.cost(uniform(experiment.costs, 0.0)).macs
    assert fixed == STEPS * 64 * sum(experiment.cost(uniform(experiment.costs, c)).macs for c in (0.0, 0.25, 0.5, 0.75))
    assert alone < universal < 4 * alone
    assert records["slimmable"].seconds > 0


def test_a_second_time_checkpoints_are_read_and_the_qualities_are_the_same(experiment, records, monkeypatch):
    monkeypatch.setattr("neumeta_trainer.training.loop._descend", lambda *_: pytest.fail("trained again"))
    methods = ["prune taylor", "slimmable", "universally slimmable"]
    for record in baseline_records(experiment.recipe, experiment.splits, experiment.out, LogProgress(), methods):
        assert record.measurements == records[record.method].measurements
        assert record.seconds == records[record.method].seconds


def test_a_network_of_other_widths_is_noticed(experiment):
    with pytest.raises(AssertionError):
        check_size(experiment.pretrained.network, experiment, uniform(experiment.architecture, 0.75))


def test_a_method_that_the_recipe_does_not_have_is_refused_before_anything_is_trained(tmp_path):
    recipe, splits = digits(), load_digits()
    with pytest.raises(RecipeRefused, match="zero block: all of digits morphs"):
        baseline_records(recipe, splits, tmp_path, LogProgress(), ["prune l1", "zero block"])
    with pytest.raises(ValueError, match="'prune' is no method"):
        baseline_records(recipe, splits, tmp_path, LogProgress(), ["prune"])
    plain = dataclasses.replace(recipe, network=lambda: nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 10)))
    with pytest.raises(RecipeRefused, match="no normalization"):
        baseline_records(plain, splits, tmp_path, LogProgress(), ["linear calibrated"])
    for wrong, said in (((0.0, 0.9), "curve: compression: 0.9 is not allowed"), ((), r"curve=\(\)")):
        with pytest.raises(RecipeRefused, match=said):
            baseline_records(dataclasses.replace(recipe, curve=wrong), splits, tmp_path, LogProgress(), ["prefix none"])
    assert list(tmp_path.iterdir()) == []


class Residual(nn.Module):
    """A stem, a block and a head on digits."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.block: nn.Module = ResidualBlock(8, 8, 1)
        self.head = nn.Linear(8 * 64, 10)

    def forward(self, x):
        return self.head(self.block(self.stem(x)).flatten(1))


@cache
def morphing() -> Recipe:
    return short(digits(), network=Residual, morph=("block.conv1",))


def test_a_block_that_morphs_is_zeroed_once_for_all_sizes(tmp_path):
    recipe, splits = morphing(), load_digits()
    (record,) = baseline_records(recipe, splits, tmp_path, LogProgress(), ["zero block"])
    (point,) = record.measurements
    experiment = Experiment(recipe, splits, tmp_path, LogProgress())
    skipping = fuse_batch_norm(experiment.pretrained.network, experiment.example)
    skipping.block = nn.ReLU()
    assert point.quality == accuracy(skipping, experiment.parts[1], splits)
    assert point.quality < accuracy(experiment.pretrained.network, experiment.parts[1], splits)
    assert point.params == sum(tensor.numel() for tensor in skipping.parameters())
    assert point.compression is None


def test_universally_slimmable_networks_see_random_widths_where_the_recipe_has_a_base_alone(tmp_path):
    family = morphing().family
    recipe, splits = dataclasses.replace(morphing(), base=dataclasses.replace(family, members=0), family=None), load_digits()
    (record,) = baseline_records(recipe, splits, tmp_path, LogProgress(), ["universally slimmable"])
    experiment = Experiment(recipe, splits, tmp_path, LogProgress())
    full, smallest = (experiment.cost(uniform(experiment.costs, compression)).macs for compression in (0.0, 0.75))
    assert record.trained_macs > STEPS * 64 * (full + smallest + smallest)


def test_only_the_block_that_morphs_is_pruned(tmp_path):
    recipe, splits = morphing(), load_digits()
    (record,) = baseline_records(recipe, splits, tmp_path, LogProgress(), ["prune l1 calibrated"])
    assert record.measurements[-1].macs == 64 * 9 * (8 + 8 * 2 + 2 * 8) + 8 * 64 * 10
