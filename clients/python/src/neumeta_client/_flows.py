"""What the clients do, written once: generators that yield requests and pauses, are sent the answers, and return the result.

A client only carries requests to the service and answers back, waiting or awaiting. Errors of this package are thrown
into the flow, which may try again.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, Generic, Optional, TypeVar, Union

from neumeta_client._artifact import Artifact
from neumeta_client._decode import decode
from neumeta_client._errors import (
    ArtifactGone,
    CacheError,
    IntegrityError,
    NeuMetaClientError,
    Offline,
    SignatureInvalid,
    UnexpectedAnswer,
    VerificationError,
)
from neumeta_client._local.cache import Cache
from neumeta_client._local.download import Download, Progress
from neumeta_client._protocol import Request, Selection, Version, download, materialize, model_path, read
from neumeta_client._retry import TEMPORARY, Retries
from neumeta_client._trust.root import Verifier
from neumeta_client._types import Curve, Manifest, Model, ModelSummary

T = TypeVar("T")
logger = logging.getLogger(__name__)

LOCK_POLL_S = 0.1
GRACE_S = 60.0
"""For so long nobody's pull removes what another one gave, which may not have been opened yet."""


@dataclass(frozen=True)
class Pause:
    """Nothing is to be sent for so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Done(Generic[T]):
    """A flow's result."""

    value: T


Step = Union[Request, Pause]
Flow = Generator[Step, object, T]


def advance(flow: Flow[T], answer: object = None, *, error: Optional[NeuMetaClientError] = None) -> Union[Step, Done[T]]:
    """Run a flow to its next request or pause, or to its end."""
    try:
        return flow.send(answer) if error is None else flow.throw(error)
    except StopIteration as end:
        return Done(end.value)


@dataclass(frozen=True)
class Flows:
    """The flows of one client."""

    service: str
    """The service's address, as part of the names under which answers are kept."""
    cache: Cache
    cache_limit: int
    verifier: Optional[Verifier]
    retries: Retries
    offline: bool

    def models(self) -> Flow[tuple[ModelSummary, ...]]:
        """Every model of the service."""
        return decode(_ModelList, (yield from self.ask(read("/v1/models"))), "answer").models

    def model(self, name: str, version: Version = None) -> Flow[Model]:
        """One model."""
        return decode(Model, (yield from self.ask(read(model_path(name), version))), "model")

    def curve(self, name: str, version: Version = None) -> Flow[Curve]:
        """The curve of one model."""
        return decode(Curve, (yield from self.ask(read(f"{model_path(name)}/curve", version))), "curve")

    def manifest(self, name: str, selection: Selection) -> Flow[Manifest]:
        """The manifest of one member, verified when there is a verifier."""
        request = materialize(name, selection)
        if self.offline:
            return self._recalled(name, selection)
        return self._read(name, selection, (yield from self.ask(request)))

    def pull(self, name: str, selection: Selection, progress: Optional[Progress] = None) -> Flow[Artifact]:
        """One member: from the cache if what was asked for never changes or the service cannot be asked, else as the service says."""
        request = materialize(name, selection)
        if self.offline:
            return self._kept(name, selection)
        if selection.is_fixed:
            with suppress(NeuMetaClientError):
                return self._kept(name, selection)
        try:
            return (yield from self._pull(request, name, selection, progress))
        except TEMPORARY as error:
            with suppress(NeuMetaClientError):
                kept = self._kept(name, selection)
                logger.warning("%s is as it was pulled before, as the service cannot be asked: %s", name, error)
                return kept
            raise

    def verify(self, path: Path) -> Flow[Manifest]:
        """The manifest of a file: as it was kept, or with a verifier as it was signed, the signature asked of the service if need be."""
        digest = self.cache.digest_of(path)
        kept = self.cache.manifests_of(digest)
        if self.verifier is None:
            if not kept:
                raise IntegrityError(f"{path} ({digest}) is in no manifest of the cache, and without a trust root nobody else is asked.")
            return decode(Manifest, kept[0], "manifest")
        errors = []
        for signature in [signature for manifest in kept if (signature := manifest.get("signature")) is not None]:
            try:
                return _signed(self.verifier, signature, path, digest, kept=True)
            except VerificationError as error:
                errors.append(error)
        # What was kept may be by a key that has been replaced since.
        try:
            return _signed(self.verifier, (yield from self.ask(read(f"/v1/artifacts/{digest}/signature"))), path, digest)
        except NeuMetaClientError as error:
            if errors:
                raise errors[0] from error
            if isinstance(error, ArtifactGone):
                raise IntegrityError(f"Nothing names these bytes: neither the cache nor the service has a signature of {path} ({digest}).") from error
            raise

    def newer(self, name: str, selection: Selection, than: int, interval_s: float) -> Flow[Artifact]:
        """One member of the next version that is higher than ``than``, whenever it appears."""
        asked_s = 0.0
        while True:
            yield Pause(max(asked_s, interval_s * random.uniform(0.9, 1.1)))
            asked_s = 0.0
            try:
                found = yield from self.model(name, selection.version)
                if found.version > than:
                    artifact = yield from self._pull(materialize(name, selection), name, selection, None)
                    if artifact.manifest.version > than:
                        return artifact
            except TEMPORARY as error:
                asked_s = error.retry_after or 0.0
                logger.warning("%s is looked for again in %g s: %s", name, max(asked_s, interval_s), error)

    def _pull(self, request: Request, name: str, selection: Selection, progress: Optional[Progress]) -> Flow[Artifact]:
        """From the service; starts again once when the artifact was evicted between the two requests, and once when its bytes were wrong."""
        key = selection.key(self.service)
        before = self.cache.recall(name, key)
        retries = Retries(attempts=1) if before and self._is_kept(name, selection) else self.retries
        seen: dict[type[NeuMetaClientError], Manifest] = {}
        while True:
            answer = yield from self.ask(request, retries)
            wanted = self._read(name, selection, answer)
            gone = seen.get(ArtifactGone)
            if gone and gone.digest != wanted.digest:
                self.cache.drop(gone)
            path = self.cache.find(wanted)
            from_cache = path is not None
            try:
                if path is None:
                    with self.cache.download(wanted, progress) as part:
                        path, from_cache = yield from self._fetch(wanted, part)
            except (ArtifactGone, IntegrityError) as error:
                if type(error) in seen:
                    raise
                seen[type(error)] = wanted
                continue
            if not from_cache:
                self._make_room(path)
            # A manifest that was there may have gone with its artifact.
            is_kept = (answer == before and from_cache) or self._remember(name, selection, wanted.version, answer)
            if is_kept and self.verifier is not None:
                self.verifier.remember(wanted, selection)
            return Artifact(path, wanted, from_cache)

    def _remember(self, name: str, selection: Selection, version: int, answer: object) -> bool:
        """Keep the manifest of what was asked for, and, as it will never be another, of the same with the version's number."""
        numbered = replace(selection, version=version)
        keys = {asked.key(self.service) for asked in (selection, numbered) if asked is selection or asked.is_fixed}
        try:
            for key in keys:
                self.cache.remember(name, key, answer)
        except CacheError as error:
            # What was asked for is there; only without the service this manifest will be missed.
            logger.warning("The manifest of %s was not kept: %s", name, error)
            return False
        return True

    def _make_room(self, keep: Path) -> None:
        try:
            self.cache.collect(self.cache_limit, keep=keep, grace_s=GRACE_S)
        except CacheError as error:
            # What was asked for is there; that something else cannot be removed now is no reason to be without it.
            logger.warning("The cache was not brought below its limit of %d bytes: %s", self.cache_limit, error)

    def _fetch(self, wanted: Manifest, part: Download) -> Flow[tuple[Path, bool]]:
        """The file, and whether another process or thread brought it."""
        while not part.lock():
            yield Pause(LOCK_POLL_S)
        path = self.cache.find(wanted)
        if path is not None:
            return path, True
        if part.received < part.size:
            yield from self._send(lambda: download(wanted, part), self.retries, lambda: part.received)
        return part.commit(), False

    def ask(self, request: Request, retries: Optional[Retries] = None) -> Flow[object]:
        """The answer to one request, which is sent again as long as ``retries`` say so. Raises Offline when nothing may be sent."""
        if self.offline:
            raise Offline("This client is offline (NEUMETA_CLIENT_OFFLINE, or offline=True) and may not ask the service.")
        return (yield from self._send(lambda: request, retries or self.retries))

    def _send(self, request: Callable[[], Request], retries: Retries, received: Callable[[], int] = lambda: 0) -> Flow[object]:
        """Send until there is an answer; a try in which something was ``received`` is not counted as failed."""
        failed = 0
        while True:
            before = received()
            try:
                return (yield request())
            except TEMPORARY as error:
                failed = 1 if received() > before else failed + 1
                delay = retries.delay(failed, error)
                if delay is None:
                    raise
            yield Pause(delay)

    def _kept(self, name: str, selection: Selection) -> Artifact:
        """What an earlier pull of the same brought. Raises Offline when there was none, or its file is gone."""
        manifest = self._recalled(name, selection)
        path = self.cache.find(manifest)
        if path is None:
            raise _not_kept(name)
        return Artifact(path, manifest, from_cache=True, stale=not selection.is_fixed)

    def _is_kept(self, name: str, selection: Selection) -> bool:
        with suppress(NeuMetaClientError):
            return bool(self._kept(name, selection))
        return False

    def _recalled(self, name: str, selection: Selection) -> Manifest:
        answer = self.cache.recall(name, selection.key(self.service))
        if answer is None:
            raise _not_kept(name)
        return self._read(name, selection, answer, kept=True)

    def _read(self, name: str, selection: Selection, answer: object, *, kept: bool = False) -> Manifest:
        found = decode(Manifest, answer, "manifest")
        if str(selection.version).isdecimal() and str(found.version) != str(selection.version):
            raise UnexpectedAnswer(f"The service answered with version {found.version} of {name}; version {selection.version} was asked for.")
        if found.model != name:
            raise UnexpectedAnswer(f"The service answered with the model {found.model!r}; {name!r} was asked for.")
        if self.verifier is not None:
            self.verifier.verify(answer, found, selection, kept=kept)
        return found


def _signed(verifier: Verifier, signature: object, path: Path, digest: str, *, kept: bool = False) -> Manifest:
    found = verifier.signed(signature, kept=kept)
    if found.digest != digest:
        raise SignatureInvalid(f"The signature is of {found.digest}; {path} has the digest {digest}.")
    return found


def _not_kept(name: str) -> Offline:
    return Offline(f"The service may not or cannot be asked, and no earlier pull left this size of {name} in the cache; pull it once before.")


@dataclass(frozen=True)
class _ModelList:
    models: tuple[ModelSummary, ...]
