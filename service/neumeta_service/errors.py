"""Errors that belong to the service; those of the core are in ``neumeta_core.errors``.

NeuMetaError
├── RefusedRequest
│   ├── ModelNotFound           no model of that name
│   ├── VersionNotFound         no version of that number or alias
│   ├── RungNotFound            the operator has named no such size
│   ├── ArtifactGone            the artifact is unknown or cannot be made again
│   ├── ProfileNotFound         no such device was measured, or not in this precision or version
│   ├── TooManyProfiles         as many devices of a model were measured as may be
│   ├── SelfCheckFailed         the artifact does not work and is blocked
│   ├── JobNotFound             no job of that id
│   ├── TooManyJobs             as many jobs as may wait are waiting
│   ├── IdempotencyKeyReused    another request has used the key
│   ├── NotSigned               the service does not sign
│   ├── NotReady                no model is loaded
│   ├── StoreUnavailable        a place where files lie cannot be read or written
│   ├── Draining                the service is about to stop
│   ├── Overloaded              the queue in front of the device is full
│   ├── DeadlineExceeded        the artifact was not there in time
│   ├── MalformedBody           the body is not JSON
│   ├── BodyTooLarge            the body is longer than allowed
│   ├── UnsupportedMediaType    the body is not declared as JSON
│   ├── NotAcceptable           Accept allows nothing that can be sent
│   ├── RangeNotSatisfiable     the range lies outside the artifact
│   ├── ExplorerMissing         the explorer page was not built
│   ├── Unauthenticated         no token that is known here
│   ├── Forbidden               the token has not the scope that this takes
│   ├── RateLimited             the caller asks more often than allowed
│   └── HeadersTooLarge         the request's head is longer than allowed
├── AliasesRefused              a file of aliases is not valid
└── RungsRefused                a file of rungs is not valid
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from neumeta_core.errors import NeuMetaError


class RefusedRequest(NeuMetaError):
    """A request that the service cannot answer as asked."""

    headers: Mapping[str, str] = {}
    """What the answer says beside the problem document."""
    members: Mapping[str, object] = {}
    """What the problem document says beside code and detail, as JSON values."""


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


class RungNotFound(RefusedRequest):
    """A model has no rung of that name; ``rungs`` are those that it has."""

    code = "rung_not_found"

    def __init__(self, name: str, rung: str, rungs: Sequence[str]) -> None:
        super().__init__(f"There is no rung {rung[:100]!r} of {name!r}; those are: {', '.join(rungs) or 'none'}.")
        self.members = {"rungs": list(rungs)}


class ArtifactGone(RefusedRequest):
    """An artifact is unknown, or cannot be made again with the same bytes."""

    code = "artifact_gone"

    def __init__(self, digest: str, model: str = "{name}") -> None:
        super().__init__(f"The artifact {digest!r} is not here and cannot be made again; repeat POST /v1/models/{model}/materialize.")


class ProfileNotFound(RefusedRequest):
    """Nobody has measured a model on that device, or not as it is asked for."""

    code = "profile_not_found"

    @classmethod
    def of_device(cls, model: str, device: str) -> ProfileNotFound:
        """No profile at all."""
        return cls(f"There is no profile of the device {device[:100]!r} for {model!r}; GET /v1/models/{model}/profiles lists those that there are.")

    @classmethod
    def of_precision(cls, model: str, device: str, precision: str, precisions: Sequence[str]) -> ProfileNotFound:
        """None in this precision; there are others."""
        error = cls(f"The device {device!r} has no profile for {model!r} in {precision}; there are profiles in {', '.join(precisions)}.")
        error.members = {"precisions": list(precisions)}
        return error

    @classmethod
    def of_version(cls, model: str, device: str, version: int, versions: Sequence[int]) -> ProfileNotFound:
        """None of this version, nor of one with the same channel groups."""
        listed = ", ".join(map(str, versions))
        return cls(
            f"The device {device!r} has no profile for {model!r} version {version}: there are profiles of {listed}, whose channel groups are others. "
            "Measure this version on the device."
        )


class TooManyProfiles(RefusedRequest):
    """As many devices as may be have a profile for a model."""

    code = "too_many_profiles"

    def __init__(self, model: str, limit: int) -> None:
        super().__init__(f"{limit} devices have a profile for {model!r}, as many as may; DELETE one of GET /v1/models/{model}/profiles first.")


class SelfCheckFailed(RefusedRequest):
    """An artifact did not pass its self-check and is not delivered; the message may be shown to clients."""

    code = "self_check_failed"


class JobNotFound(RefusedRequest):
    """No job of that id is remembered here."""

    code = "job_not_found"

    def __init__(self, identity: str) -> None:
        super().__init__(f"There is no job {identity!r}; GET /v1/jobs lists those that this process remembers.")


class TooManyJobs(RefusedRequest):
    """As many jobs as may wait are waiting."""

    code = "too_many_jobs"

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} jobs have not ended yet, and no more may wait; repeat the request when one of GET /v1/jobs has.")


class IdempotencyKeyReused(RefusedRequest):
    """A key came with another body than the first time (draft-ietf-httpapi-idempotency-key-header, section 2.7)."""

    code = "idempotency_key_reused"

    def __init__(self, key: str) -> None:
        super().__init__(f"Idempotency-Key: {key!r} came with another body before; send a new key.")


class NotSigned(RefusedRequest):
    """This service has no key to sign with."""

    code = "not_signed"

    def __init__(self) -> None:
        super().__init__("This service does not sign what it makes; NEUMETA_SIGNING_KEY is not set.")


class NotReady(RefusedRequest):
    """No model is loaded."""

    code = "not_ready"


class StoreUnavailable(RefusedRequest):
    """A place where files lie, or a file there, cannot be read or written."""

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
        self.headers = {"retry-after": str(retry_after_s)}


class DeadlineExceeded(RefusedRequest):
    """The artifact was not there in time; if its build has begun it goes on, and the caches will have it."""

    code = "deadline_exceeded"

    def __init__(self, limit_s: float, retry_after_s: int) -> None:
        super().__init__(f"The artifact was not ready within {limit_s:g} s; repeat the request in {retry_after_s} s.")
        self.retry_after_s = retry_after_s
        self.headers = {"retry-after": str(retry_after_s)}


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


class PreconditionFailed(RefusedRequest):
    """The artifact is none of those that ``If-Match`` names."""

    code = "precondition_failed"

    def __init__(self, asked: str, digest: str) -> None:
        super().__init__(f'If-Match: {asked[:100]!r} does not name the artifact, whose entity tag is "{digest}".')


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


class RungsRefused(NeuMetaError):
    """A file of rungs is not valid."""

    code = "rungs_refused"


class Unauthenticated(RefusedRequest):
    """The request carries no token that is known here; ``error`` is a code of RFC 6750 section 3.1, empty when there was no token at all."""

    code = "unauthenticated"

    def __init__(self, message: str, error: str = "") -> None:
        super().__init__(message)
        cause = f', error="{error}"' if error else ""
        self.headers = {"www-authenticate": f'Bearer realm="neumeta"{cause}'}


class Misdirected(RefusedRequest):
    """The request is for a host of another name."""

    code = "misdirected"

    def __init__(self, host: str) -> None:
        super().__init__(f"Host: {host[:100]!r} is no name of this service; NEUMETA_ALLOWED_HOSTS has those that it answers to, beside addresses.")


class Forbidden(RefusedRequest):
    """The token is good, but has not the scope that the request takes."""

    code = "forbidden"

    def __init__(self, scope: str) -> None:
        super().__init__(f"This takes a token with the scope {scope!r}; ask the operator for one.")
        self.headers = {"www-authenticate": f'Bearer realm="neumeta", error="insufficient_scope", scope="{scope}"'}


class RateLimited(RefusedRequest):
    """The caller asks more often than ``rate`` allows, for another ``wait_s`` seconds."""

    code = "rate_limited"

    def __init__(self, rate: str, wait_s: int) -> None:
        super().__init__(f"No more than {rate} are allowed; ask again in {wait_s} s.")
        self.headers = {"retry-after": str(wait_s)}


class HeadersTooLarge(RefusedRequest):
    """The request's head is longer than allowed (RFC 6585 section 5)."""

    code = "headers_too_large"
