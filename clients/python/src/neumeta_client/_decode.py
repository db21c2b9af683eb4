"""JSON values into frozen dataclasses: known fields are checked, unknown ones ignored, so that newer services work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from neumeta_client._errors import UnexpectedAnswer

T = TypeVar("T")


def decode(kind: type[T], value: object, where: str) -> T:
    """Read ``value`` as the dataclass ``kind``; ``where`` names it in messages.

    Raises UnexpectedAnswer that names the field when one is missing or of another type.
    """
    return _record(kind, value, where)  # type: ignore[no-any-return]  # the kind decides at run time


@cache
def _fields(kind: type) -> tuple[tuple[str, Any, bool], ...]:
    """Of each field its name, its type, and whether it may be missing."""
    types = get_type_hints(kind)
    return tuple((field.name, types[field.name], field.default is not MISSING or field.default_factory is not MISSING) for field in fields(kind))


def _record(kind: Any, value: object, where: str) -> Any:
    known = _check(value, Mapping, where, "an object")
    found = {}
    for name, type_, may_be_missing in _fields(kind):
        if name in known:
            found[name] = _value(type_, known[name], f"{where}.{name}")
        elif not may_be_missing:
            raise UnexpectedAnswer(f"The service's answer lacks {where}.{name}.")
    return kind(**found)


def _value(kind: Any, value: object, where: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Union:
        return None if value is None else _value(arguments[0], value, where)
    if origin is tuple:
        return tuple(_value(arguments[0], entry, f"{where}[{index}]") for index, entry in enumerate(_check(value, list, where, "an array")))
    if origin is Mapping:
        return {key: _value(arguments[1], entry, f"{where}.{key!r:.60}") for key, entry in _check(value, Mapping, where, "an object").items()}
    if is_dataclass(kind):
        return _record(kind, value, where)
    if kind is object:
        return value
    return _check(value, (int, float) if kind is float else kind, where, _NAMES[kind])


_NAMES = {int: "an integer", float: "a number", str: "a string", bool: "true or false"}


def _check(value: Any, kind: Any, where: str, expected: str) -> Any:
    # In Python a bool is an int, in JSON it is none.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise UnexpectedAnswer(f"The service's answer has {value!r:.60} as {where}; expected {expected}.")
    return value
