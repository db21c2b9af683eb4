"""What made a manifold: the settings in its file against those of a recipe."""

from __future__ import annotations

import dataclasses
import inspect
import json
import shlex
from collections.abc import Iterator, Sequence

from neumeta_core.manifold import Manifold
from pydantic import JsonValue

from neumeta_trainer.config import NetworkStage, Optimization, Recipe, TuneStage
from neumeta_trainer.errors import AnalysisRefused
from neumeta_trainer.export.manifold import settings_of
from neumeta_trainer.overrides import value_of
from neumeta_trainer.recipes import RECIPES, TIERS

_STAGES: dict[str, type[NetworkStage | TuneStage]] = {"base": NetworkStage, "family": NetworkStage, "tune": TuneStage}
"""Those that a recipe may do without. One that it does not have is not among its settings, of whatever version."""
_NO_STAGES: dict[str, JsonValue] = dict.fromkeys(_STAGES)


def check_made_by(manifold: Manifold, recipe: Recipe, split: str) -> None:
    """Raise AnalysisRefused unless the manifold has the recipe's name and settings and was measured on this split."""
    header = manifold.header
    if header.name != recipe.name:
        raise AnalysisRefused(f"the manifold is {header.name}, not {recipe.name}.")
    for path, made, wanted in _differences(_made(manifold), _settings(recipe)):
        raise AnalysisRefused(f"the manifold was made with {path}={made}, and the recipe has {wanted}; give the --tier and every --set of its run.")
    if header.curve is not None and header.curve.split != split:
        choice = "with" if header.curve.split == "test" else "without"
        raise AnalysisRefused(
            f"the manifold was measured on {header.curve.split} images, and may have seen the others in training; run {choice} --final."
        )


def command_of(manifold: Manifold) -> str | None:
    """The ``neumeta train`` that makes such a manifold again, by the recipes of this version.

    None when none of them has its name, or its file does not hold how it was made.
    """
    header = manifold.header
    make, recorded = RECIPES.get(header.name), header.training.get("recipe")
    if make is None or not isinstance(recorded, dict):
        return None
    tier = recorded.get("tier")
    has_tier = tier in TIERS and "tier" in inspect.signature(make).parameters
    recipe = make(tier=tier) if has_tier else make()
    words = ["neumeta", "train", header.name, *(["--tier", str(tier)] if has_tier else [])]
    words += ["--final"] if header.curve is not None and header.curve.split == "test" else []
    for assignment in assignments_for(manifold, recipe):
        words += ["--set", assignment]
    return shlex.join(words)


def assignments_for(manifold: Manifold, recipe: Recipe) -> list[str]:
    """Every ``FIELD=VALUE`` by which the recipe becomes the one that made the manifold."""
    made, wanted = _made(manifold), _settings(recipe)
    kind = []
    if manifold.header.inr.kind != recipe.inr.kind:
        kind = [f"inr.kind={manifold.header.inr.kind}"]
        wanted["inr"] = type(manifold.header.inr)().model_dump(mode="json")
    return kind + [f"{path}={_typed(path, value)}" for path, value, _ in _differences(made, wanted)]


def _made(manifold: Manifold) -> dict[str, JsonValue]:
    header = manifold.header
    recorded = header.training["recipe"]
    assert isinstance(recorded, dict)
    return _NO_STAGES | recorded | {"inr": header.inr.model_dump(mode="json"), "sampling": header.sampling.model_dump(mode="json")}


def _settings(recipe: Recipe) -> dict[str, JsonValue]:
    return _NO_STAGES | settings_of(recipe) | {"inr": recipe.inr.model_dump(mode="json"), "sampling": recipe.sampling.model_dump(mode="json")}


def _differences(made: JsonValue, wanted: JsonValue, path: Sequence[str] = ()) -> Iterator[tuple[str, JsonValue, JsonValue]]:
    """Path, value and wanted value of every field that differs; one that only one side has is of another version, and passed over."""
    if isinstance(made, dict) and isinstance(wanted, dict):
        for name in wanted:
            if name in made:
                yield from _differences(made[name], wanted[name], (*path, name))
    elif made != wanted:
        yield ".".join(path), made, wanted


def _typed(path: str, value: JsonValue) -> str:
    """A value as ``--set`` takes it; of a stage, what is not its default."""
    if path in _STAGES and isinstance(value, dict):
        value = _departing(value, _STAGES[path])
    if value is None:
        return "none"
    return value if isinstance(value, str) and value_of(value) == value else json.dumps(value, separators=(",", ":"))


def _departing(settings: dict[str, JsonValue], kind: type) -> dict[str, JsonValue]:
    defaults = {field.name: field.default for field in dataclasses.fields(kind) if field.default is not dataclasses.MISSING}
    plain = json.loads(json.dumps(defaults))
    kept = {name: value for name, value in settings.items() if name not in plain or value != plain[name]}
    return {name: _departing(value, Optimization) if isinstance(value, dict) else value for name, value in kept.items()}
