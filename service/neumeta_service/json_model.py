"""What models of JSON have in common, whoever writes it: nothing is converted, nothing is passed over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, WithJsonSchema
from pydantic_core import PydanticCustomError


def _scalar(expected: str) -> Callable[[object], object]:
    """Refuses lists and objects only: the core checks a single value, and its sentence states the model's own range."""

    def check(value: object) -> object:
        if isinstance(value, (list, dict)):
            raise PydanticCustomError("scalar_expected", "{expected}", {"expected": expected})
        return value

    return check


def _selector(value: object) -> object:
    if type(value) not in (int, str):
        raise PydanticCustomError("selector_expected", "a version's number or an alias")
    return value


Number = Annotated[Any, AfterValidator(_scalar("a number")), WithJsonSchema({"type": "number", "minimum": 0})]
Integer = Annotated[Any, AfterValidator(_scalar("an integer")), WithJsonSchema({"type": "integer", "minimum": 1})]
Version = Annotated[Any, AfterValidator(_selector), WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string"}]})]
Precision = Literal["fp32", "fp16", "int8"]


class JsonModel(BaseModel):
    """Base of all wire models: unknown fields are refused, nothing is converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)
