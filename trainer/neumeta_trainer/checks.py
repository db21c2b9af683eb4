"""The values of a recipe against what its fields can have."""

from __future__ import annotations

from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from neumeta_trainer.config import FitStage, NetworkStage, Optimization, Recipe, TuneStage
from neumeta_trainer.errors import RecipeRefused


def refuse_impossible(recipe: Recipe) -> None:
    """Raises RecipeRefused that names the path of a field with a value that it cannot have: Python lets a dataclass have any."""
    _refuse(recipe, "")


def _refuse(settings: Any, path: str) -> None:
    for name, hint in get_type_hints(type(settings), include_extras=True).items():
        value = getattr(settings, name)
        if isinstance(value, Optimization | NetworkStage | FitStage | TuneStage):
            _refuse(value, f"{path}{name}.")
            continue
        try:
            TypeAdapter(hint).validate_python(value)
        except ValidationError as error:
            raise RecipeRefused(f"{path}{name}={value!r}: {complaint(error)}") from None


def complaint(error: ValidationError) -> str:
    """The first thing that is wrong with a value, as a sentence."""
    return error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ").removesuffix(".") + "."
