from __future__ import annotations

import dataclasses

import pytest
from neumeta_core.inr import MlpSettings
from neumeta_trainer.checks import refuse_impossible
from neumeta_trainer.errors import RecipeRefused
from neumeta_trainer.overrides import overridden
from neumeta_trainer.recipes import RECIPES


def test_every_part_can_be_changed_by_its_path():
    recipe = overridden(
        RECIPES["digits"](),
        [
            "family.optimization.steps=7",
            "tune=none",
            "inr.rank=16",
            "held_out=[[0.3,0.4]]",
            "family.levels=[0.75,0.5]",
            "inr.levels=[0.5]",
            "order=smooth",
            "seed=3",
        ],
    )
    assert recipe.family.optimization.steps == 7
    assert recipe.family.optimization.rate == 0.05
    assert recipe.tune is None
    assert recipe.inr.rank == 16
    assert recipe.inr.hidden == 16
    assert recipe.held_out == ((0.3, 0.4),)
    assert (recipe.family.levels, recipe.inr.levels) == ((0.75, 0.5), (0.5,))
    assert (recipe.order, recipe.seed) == ("smooth", 3)


def test_numbers_get_the_type_of_their_field_and_the_recipe_is_possible():
    recipe = overridden(RECIPES["digits"](), ["family.optimization.steps=1e3", "family.optimization.rate=1", "curve=[0,0.5]", "inr.levels=[]"])
    assert repr((recipe.family.optimization.steps, recipe.family.optimization.rate, recipe.curve)) == "(1000, 1.0, (0.0, 0.5))"
    refuse_impossible(recipe)
    refuse_impossible(dataclasses.replace(recipe, curve=(0, 0.5)))


def test_another_kind_starts_from_its_defaults():
    assert overridden(RECIPES["digits"](), ["inr.kind=mlp", "inr.hidden=12"]).inr == MlpSettings(hidden=12)


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["family.members"], "expected FIELD=VALUE"),
        (["network=x"], "other than network and data"),
        (["family.member=2"], "no field 'member'; expected one of optimization, batch"),
        (["family.members=two"], "--set family.members=two: Input should be a valid integer"),
        (["fit.members=2.5"], "valid integer"),
        (["order=sideways"], "'smooth', 'importance' or 'none'"),
        (["inr.kind=splines"], "'splines'"),
        (["family.levels=[0.5,0.75]"], "levels go from wide to narrow"),
        (["inr.levels=[1.0]"], "less than 1"),
        (["inr.rank=0"], "greater than or equal to 1"),
        (["inr.kind=anchored", "inr.scales=8"], r"--set inr\.scales=8: scales need moments, .*: expected moments=true before scales\.$"),
        (["tune=none", "tune.batch=3"], "this part is switched off"),
        (["curve=[]"], r"--set curve=\[\]: Tuple should have at least 1 item"),
        (["curve=[0,0.5,0]"], "0 is there more than once; expected every compression once"),
        (["curve=[1]"], "less than 1"),
        (["held_out=[[0.4,0.3]]"], r"0\.4 to 0\.3 is no interval of width ratios; expected the lower one first"),
        (["validation=0"], "greater than 0"),
        (["validation=1"], "less than 1"),
        (["max_compression=1"], "less than 1"),
        (["granularity=0"], "greater than or equal to 1"),
        (["beyond=[0]"], "greater than 0"),
        (["seed=-1"], "greater than or equal to 0"),
        (["family.batch=0"], "greater than or equal to 1"),
        (["family.shift=-1"], "greater than or equal to 0"),
        (["family.optimization.steps=-1"], "greater than or equal to 0"),
        (["fit.calibration=0"], "greater than or equal to 1"),
        (["fit.members=0"], "greater than or equal to 1"),
        (["tune.optimization.ema=1.5"], "less than or equal to 1"),
        (["tune.optimization.rate=NaN"], "finite number"),
        (["tune.temperature=0"], "greater than 0"),
    ],
)
def test_what_cannot_be_is_refused_with_what_is_allowed(assignments, message):
    with pytest.raises(RecipeRefused, match=message):
        overridden(RECIPES["digits"](), assignments)
