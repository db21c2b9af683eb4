"""Errors that belong to the service; those of the core are in ``neumeta_core.errors``.

NeuMetaError
├── RefusedRequest
│   ├── ModelNotFound           no model of that name
│   ├── VersionNotFound         no version of that number or alias
│   ├── ArtifactGone            the artifact is unknown or cannot be made again
│   ├── NotReady                no model is loaded
│   ├── Draining                the service is about to stop
│   ├── Overloaded              the queue in front of the device is full
│   ├── DeadlineExceeded        the artifact was not there in time
│   ├── StoreUnavailable        the place where manifold files lie cannot be read
│   ├── MalformedBody           the body is not JSON
│   ├── BodyTooLarge            the body is longer than allowed
│   ├── UnsupportedMediaType    the body is not declared as JSON
│   ├── NotAcceptable           Accept allows nothing that can be sent
│   ├── RangeNotSatisfiable     the range lies outside the artifact
│   └── ExplorerMissing         the explorer page was not built
└── AliasesRefused              a file of aliases is not valid
"""

from __future__ import annotations

from neumeta_core.errors import NeuMetaError


class RefusedRequest(NeuMetaError):
    """A request that the service cannot answer as asked."""

    retry_after_s: int | None = None
    """Whole seconds after which the same request may succeed; None when time changes nothing."""


class ModelNotFound(RefusedRequest):
    """No model of that name is in the catalog."""

    code = "model_not_found"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no model {name!r}; GET /v1/models lists those that there are.")


class VersionNotFound(RefusedRequest):
    """A model has no version of that number or alias."""

    code = "version_not_found"

    def __init__(self, name: str, version: int | str) -> None:
        super().__init__(f"There is no version {str(version)[:100]!r} of {name!r}; GET /v1/models/{name}/versions lists those that there are.")


class ArtifactGone(RefusedRequest):
    """An artifact is unknown, or cannot be made again with the same bytes."""

    code = "artifact_gone"

    def __init__(self, digest: str, model: str = "{name}") -> None:
        super().__init__(f"The artifact {digest!r} is not here and cannot be made again; repeat POST /v1/models/{model}/materialize.")


class NotReady(RefusedRequest):
    """No model is loaded."""

    code = "not_ready"


class StoreUnavailable(RefusedRequest):
    """The place where manifold files lie, or a file there, cannot be read."""

    code = "store_unavailable"


class Draining(RefusedRequest):
    """The service is about to stop."""

    code = "draining"


class Overloaded(RefusedRequest):
    """The queue of builds is full."""

    code = "overloaded"

    def __init__(self, queue_limit: int, retry_after_s: int) -> None:
        super().__init__(f"{queue_limit} artifacts wait to be built, as many as may; repeat the request in {retry_after_s} s.")
        self.retry_after_s = retry_after_s


class DeadlineExceeded(RefusedRequest):
    """The artifact was not there in time; if its build has begun it goes on, and the caches will have it."""

    code = "deadline_exceeded"

    def __init__(self, limit_s: float, retry_after_s: int) -> None:
        super().__init__(f"The artifact was not ready within {limit_s:g} s; repeat the request in {retry_after_s} s.")
        self.retry_after_s = retry_after_s


class MalformedBody(RefusedRequest):
    """The body is not JSON."""

    code = "malformed_body"


class BodyTooLarge(RefusedRequest):
    """The body is longer than allowed."""

    code = "body_too_large"


class UnsupportedMediaType(RefusedRequest):
    """The body is not declared as JSON."""

    code = "unsupported_media_type"


class NotAcceptable(RefusedRequest):
    """``Accept`` allows nothing that can be sent."""

    code = "not_acceptable"


class RangeNotSatisfiable(RefusedRequest):
    """The range lies outside an artifact of ``size`` bytes."""

    code = "range_not_satisfiable"

    def __init__(self, asked: str, size: int) -> None:
        super().__init__(f"Range: {asked!r} lies outside the artifact; it has {size} bytes.")
        self.size = size


class ExplorerMissing(RefusedRequest):
    """The explorer page was not built."""

    code = "explorer_missing"

    def __init__(self) -> None:
        super().__init__("The explorer page was not built; run `make explorer` (it needs Node.js) and start the service again. The API is under /v1.")


class AliasesRefused(NeuMetaError):
    """A file of aliases is not valid."""

    code = "aliases_refused"
