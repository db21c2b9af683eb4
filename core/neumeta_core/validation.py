"""What pydantic says of a document, as a sentence."""

from __future__ import annotations

from pydantic import ValidationError


def first_fault(error: ValidationError) -> str:
    """The first fault of a document, as a sentence without what is in it."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])[:100] or "the top"
    return f"{where}: {first['msg'].removeprefix('Value error, ')}."


def complaint(error: ValidationError) -> str:
    """The first thing that is wrong with a value, as a sentence."""
    return error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ").removesuffix(".") + "."
