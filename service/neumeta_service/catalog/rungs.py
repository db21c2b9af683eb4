"""Named sizes: ``NAME/rungs.json`` holds one object, rung -> selector, as ``{"small": {"compression": 0.5}}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, PositiveInt, TypeAdapter, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from neumeta_service.budget import BudgetRequest
from neumeta_service.catalog.aliases import NAME_RULE, is_well_named
from neumeta_service.errors import RungsRefused
from neumeta_service.json_model import JsonModel


class RungBudget(BudgetRequest):
    """Maxima as in a request, checked when the file is read."""

    params: PositiveInt | None = None
    macs: PositiveInt | None = None
    bytes: PositiveInt | None = None
    latency_ms: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None


class Rung(JsonModel):
    """What a rung stands for: exactly one selector, whose ranges are those of the version that is asked for."""

    compression: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] | None = None
    widths: dict[str, PositiveInt] | None = None
    budget: RungBudget | None = None

    @model_validator(mode="after")
    def _check_one_selector(self) -> Self:
        if len(self.model_dump(exclude_none=True)) != 1:
            raise PydanticCustomError("one_selector", "Input should be an object with exactly one of compression, widths and budget")
        return self


_RUNGS = TypeAdapter(dict[str, Rung])


def parse_rungs(data: bytes) -> Mapping[str, Rung]:
    """The rungs in a file's bytes. Raises RungsRefused unless each is well named and has exactly one selector."""
    try:
        rungs = _RUNGS.validate_json(data)
    except ValidationError as error:
        raise RungsRefused(_sentence(error)) from None
    for name in rungs:
        if not is_well_named(name):
            raise RungsRefused(f"the rung {name[:100]!r} is not allowed; expected {NAME_RULE}.")
    return rungs


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    if not first["loc"]:
        return f"it is {'not JSON' if first['type'] == 'json_invalid' else 'no object'}; expected an object of rung -> selector."
    where = ".".join(str(part) for part in first["loc"])[:100]
    expected = {"extra_forbidden": "no field of this name"}.get(first["type"]) or str(first["msg"]).removeprefix("Input should be ")
    return f"{where}: {first['input']!r:.100} is not allowed; expected {expected}."
