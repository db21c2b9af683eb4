"""What made a manifold, told from its file."""

from __future__ import annotations

import dataclasses
import shlex
from itertools import pairwise
from pathlib import Path

import pytest
from neumeta_core.inr import AnchoredSettings
from neumeta_core.manifold import Manifold
from neumeta_trainer.cli.options import chosen_recipe
from neumeta_trainer.config import Recipe
from neumeta_trainer.errors import AnalysisRefused
from neumeta_trainer.export.manifold import settings_of
from neumeta_trainer.origin import assignments_for, check_made_by, command_of
from neumeta_trainer.overrides import overridden
from neumeta_trainer.recipes.digits import digits

from tests.tiny import tiny_manifold

MODELS = Path(__file__).resolve().parents[2] / "models"
BASE = '{"optimization":{"steps":7,"rate":0.1,"optimizer":"sgd"},"shift":2}'


def made_with(recipe: Recipe) -> Manifold:
    """A file whose header says that this recipe made it."""
    training = {"recipe": settings_of(recipe) | {"network": "SmallNet"}}
    return tiny_manifold(recipe.inr, name=recipe.name, sampling=recipe.sampling, training=training)


def test_another_recipe_or_split_is_refused() -> None:
    recipe = digits()
    manifold = made_with(recipe)
    split = manifold.header.curve.split if manifold.header.curve else ""
    check_made_by(manifold, recipe, split)
    with pytest.raises(AnalysisRefused, match="the manifold is digits, not other"):
        check_made_by(manifold, dataclasses.replace(recipe, name="other"), split)
    for change, said in (
        ({"seed": 5}, "made with seed=0, and the recipe has 5"),
        ({"inr": AnchoredSettings(rank=3)}, r"made with inr\."),
        ({"tune": None}, "made with tune=.*, and the recipe has None"),
        ({"base": recipe.family}, "made with base=None, and the recipe has"),
    ):
        with pytest.raises(AnalysisRefused, match=said):
            check_made_by(manifold, dataclasses.replace(recipe, **change), split)
    other = "validation" if split == "test" else "test"
    with pytest.raises(AnalysisRefused, match=f"run with{'out' if split != 'test' else ''} --final"):
        check_made_by(manifold, recipe, other)


@pytest.mark.parametrize(
    "assignments",
    [
        [],
        ["seed=3", "order=importance", "curve=[0.0,0.5]"],
        ["tune=none", f"base={BASE}"],
        ["inr.kind=mlp", "inr.hidden=7"],
        ['study="true"', 'tier="1"'],
        ["family.optimization.clip=2.0", "inr.rank=3", "sampling.count=4", 'morph=["conv1"]'],
    ],
)
def test_what_a_recipe_departs_in_is_found_in_the_file(assignments: list[str]) -> None:
    found = assignments_for(made_with(overridden(digits(), assignments)), digits())
    assert sorted(found) == sorted(assignments)


@pytest.mark.parametrize("model", sorted(path.name for path in MODELS.iterdir()))
def test_the_command_on_a_shipped_card_makes_its_recipe(model: str) -> None:
    folder = MODELS / model / "1"
    manifold = Manifold.load(folder / "manifold.safetensors")
    command = command_of(manifold)
    assert command is not None
    _, _, name, *options = shlex.split(command)
    assert "--final" in options
    tier = options[options.index("--tier") + 1] if "--tier" in options else None
    recipe = chosen_recipe(name, tier, [value for option, value in pairwise(options) if option == "--set"])
    check_made_by(manifold, recipe, "test")


def test_a_word_that_would_mean_something_else_is_quoted() -> None:
    found = assignments_for(made_with(digits()), dataclasses.replace(digits(), order="smooth"))
    assert found == ['order="none"']
    assert overridden(dataclasses.replace(digits(), order="smooth"), found).order == "none"


def test_a_network_of_ones_own_has_no_command_here_nor_has_a_file_that_does_not_say_how_it_was_made() -> None:
    assert command_of(made_with(dataclasses.replace(digits(), name="my-net"))) is None
    assert command_of(tiny_manifold(name="digits")) is None
    assert command_of(made_with(digits())) == "neumeta train digits --final"
