"""Changes to a recipe from the command line: ``family.members=2``, ``tune=none``, ``inr.kind=mlp``."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any, get_type_hints

from neumeta_core.inr import InrSettings
from neumeta_core.record import Record
from neumeta_core.validation import complaint
from pydantic import TypeAdapter, ValidationError

from neumeta_trainer.config import Recipe
from neumeta_trainer.errors import RecipeRefused

_FIXED = ("network", "data")
"""What makes a recipe the recipe that it is."""


def overridden(recipe: Recipe, assignments: Sequence[str]) -> Recipe:
    """The recipe with ``FIELD=VALUE`` applied in order; a field may be a path, a value is JSON, a plain word, or ``none``.

    Raises RecipeRefused that names the assignment and what is allowed.
    """
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals or not path or path.partition(".")[0] in _FIXED:
            raise RecipeRefused(f"--set {assignment}: expected FIELD=VALUE with a field of the recipe other than {' and '.join(_FIXED)}.")
        try:
            recipe = _replaced(recipe, path.split("."), value_of(text))
        except ValidationError as error:
            raise RecipeRefused(f"--set {assignment}: {complaint(error)}") from None
        except ValueError as error:
            raise RecipeRefused(f"--set {assignment}: {error}") from None
    return recipe


def variant_of(assignments: Sequence[str], label: str | None = None) -> str:
    """What the assignments change, or a name for it, for the method of a record. A seed is no other method: its runs are the spread of one."""
    return label or ", ".join(assignment for assignment in assignments if not assignment.startswith("seed="))


def value_of(text: str) -> Any:
    """What the text of a value means: JSON, ``none``, or a word."""
    if text.lower() == "none":
        return None
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _replaced(settings: Any, path: Sequence[str], value: Any) -> Any:
    """``settings`` with the value at the path, checked against the field's type."""
    first, *rest = path
    if isinstance(settings, Record) and path == ["kind"]:  # another kind has other fields: start from its defaults
        return TypeAdapter(InrSettings).validate_python({"kind": value})
    hints = get_type_hints(type(settings), include_extras=True) if _is_settings(settings) else {}
    if first not in hints:
        raise ValueError(f"there is no field {first!r}; " + (f"expected one of {', '.join(hints)}." if hints else "this part is switched off."))
    value = _replaced(getattr(settings, first), rest, value) if rest else TypeAdapter(hints[first]).validate_python(value)
    if dataclasses.is_dataclass(settings) and not isinstance(settings, type):
        return dataclasses.replace(settings, **{first: value})
    assert isinstance(settings, Record)
    return type(settings).model_validate(settings.model_dump() | {first: value})


def _is_settings(value: object) -> bool:
    return isinstance(value, Record) or (dataclasses.is_dataclass(value) and not isinstance(value, type))
