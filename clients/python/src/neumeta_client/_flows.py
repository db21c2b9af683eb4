"""What the clients do, written once: generators that yield requests, are sent the answers, and return the result.

A client only carries requests to the service and answers back, waiting or awaiting. Errors of this package are thrown
into the flow, which may try again.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar, Union

from neumeta_client._artifact import Artifact
from neumeta_client._decode import decode
from neumeta_client._errors import ArtifactGone, IntegrityError, NeuMetaClientError, UnexpectedAnswer
from neumeta_client._local.cache import Cache
from neumeta_client._protocol import Request, Selection, Version, download, materialize, model_path, read
from neumeta_client._trust.root import Verifier
from neumeta_client._types import Curve, Manifest, Model, ModelSummary

T = TypeVar("T")
Flow = Generator[Request, object, T]


@dataclass(frozen=True)
class Done(Generic[T]):
    """A flow's result."""

    value: T


def advance(flow: Flow[T], answer: object = None, *, error: NeuMetaClientError | None = None) -> Union[Request, Done[T]]:
    """Run a flow to its next request or its end."""
    try:
        return flow.send(answer) if error is None else flow.throw(error)
    except StopIteration as end:
        return Done(end.value)


def models() -> Flow[tuple[ModelSummary, ...]]:
    """Every model of the service."""
    return decode(_ModelList, (yield read("/v1/models")), "answer").models


def model(name: str, version: Version = None) -> Flow[Model]:
    """One model."""
    return decode(Model, (yield read(model_path(name), version)), "model")


def curve(name: str, version: Version = None) -> Flow[Curve]:
    """The curve of one model."""
    return decode(Curve, (yield read(f"{model_path(name)}/curve", version)), "curve")


def manifest(name: str, selection: Selection, verifier: Verifier | None = None) -> Flow[Manifest]:
    """The manifest of one member, verified when there is a verifier."""
    return _manifest(name, selection, (yield materialize(name, selection)), verifier)


def pull(name: str, selection: Selection, cache: Cache, verifier: Verifier | None = None) -> Flow[Artifact]:
    """One member, from the cache or the service, its manifest verified when there is a verifier.

    Starts again once when the artifact was evicted between the two requests, and once when its bytes were wrong.
    """
    request = materialize(name, selection)
    seen: set[type[NeuMetaClientError]] = set()
    while True:
        answer = yield request
        wanted = _manifest(name, selection, answer, verifier)
        path = cache.find(wanted)
        from_cache = path is not None
        try:
            path = path or (yield from _fetch(wanted, cache))
        except (ArtifactGone, IntegrityError) as error:
            if type(error) in seen:
                raise
            seen.add(type(error))
            continue
        cache.remember(wanted, answer)
        return Artifact(path, wanted, from_cache)


def _fetch(wanted: Manifest, cache: Cache) -> Flow[Path]:
    with cache.part(wanted) as part:
        yield download(wanted, part)
        return part.commit()


def _manifest(name: str, selection: Selection, answer: object, verifier: Verifier | None) -> Manifest:
    found = decode(Manifest, answer, "manifest")
    if str(selection.version).isdecimal() and str(found.version) != str(selection.version):
        raise UnexpectedAnswer(f"The service answered with version {found.version} of {name}; version {selection.version} was asked for.")
    if found.model != name:
        raise UnexpectedAnswer(f"The service answered with the model {found.model!r}; {name!r} was asked for.")
    if verifier is not None:
        verifier.verify(answer, found, selection)
    return found


@dataclass(frozen=True)
class _ModelList:
    models: tuple[ModelSummary, ...]
