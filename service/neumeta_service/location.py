"""Places where files lie: folders, and whatever else fsspec opens."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from fsspec.core import get_filesystem_class
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import get_protocol

from neumeta_service.errors import StoreUnavailable


def check_location(location: str | os.PathLike[str], *, may_be_missing: bool = False) -> str:
    """A location that a store can be opened at; ValueError when its backend is not installed or it is no folder. Looks at nothing remote."""
    path = os.fspath(location)
    try:
        backend = get_filesystem_class(get_protocol(path))
    except (ImportError, ValueError) as error:
        raise ValueError(f"{path!r} needs a backend of fsspec that is not there: {error}") from None
    if issubclass(backend, LocalFileSystem) and not backend().isdir(path) and not (may_be_missing and not backend().exists(path)):
        raise ValueError(f"{path!r} is no directory; expected a folder's path or the URL of an object store")
    return path


@contextmanager
def translated(what: str, *, done: str = "read") -> Iterator[None]:
    """Turns what backends raise into StoreUnavailable, without the location, which clients may see: each raises what its libraries raise."""
    try:
        yield
    except Exception as error:
        raise StoreUnavailable(f"{what} cannot be {done}: {_reason(error)}.") from error


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is nothing of that name"
    return getattr(error, "strerror", None) or type(error).__name__
