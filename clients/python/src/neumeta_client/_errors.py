"""Every error that this package raises.

NeuMetaClientError
├── RequestError             what was asked for cannot be had; ask for something else
│   ├── InvalidRequest       an argument is missing, unknown or out of range
│   ├── BudgetImpossible     no member of the family is small enough
│   ├── FitImpossible        no size of the model stays within the limits on this device
│   ├── ModelNotFound        the service has no model of that name
│   ├── VersionNotFound      the model has no version of that number or alias
│   ├── RungNotFound         the model has no rung of that name
│   ├── ProfileNotFound      the service has no profile of that device
│   └── AccessRefused        the token is missing, not valid any more, or not for this
├── ServiceError             the service answered with an error
│   ├── ServiceUnavailable   it is starting, overloaded or behind a proxy that cannot reach it; ask again later
│   ├── ModelRefused         the service found a fault in the model's file and does not serve it
│   ├── ArtifactGone         the artifact was evicted, and a repeated request did not bring it back
│   └── UnexpectedAnswer     the answer is not what the HTTP API promises
├── ConnectionFailed         no answer, or not all of it: refused, timed out, cut
├── Offline                  the client may not ask the service, and the cache does not have it
├── IntegrityError           the bytes are not those that the manifest names
├── VerificationError        the signature does not prove what it should; nothing was kept
│   ├── SignatureMissing     there is none
│   ├── SignatureInvalid     it is not valid, by a key that may not sign, or of something else
│   ├── SignatureExpired     it is older than the service says it may become
│   ├── CertificateExpired   the certificate of the key that signed is over, or has not begun
│   └── RollbackRefused      it is of an older version than one that was seen before
├── MeasurementFailed        a network does not run on this device, or its memory cannot be measured here
├── CacheError               a file on this device cannot be read or written
├── SessionClosed            a MorphingSession was used after its end
└── MissingExtra             a part of this package that is optional is not installed
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neumeta_client._fit.report import FitReport


class NeuMetaClientError(Exception):
    """Root of all errors of this package.

    ``status`` is the HTTP status and ``problem`` the problem document of the answer behind the error; None and empty when
    there was no answer. ``retry_after`` is how many seconds the service wants to be left alone, if it said so.
    """

    def __init__(
        self, message: str, *, status: int | None = None, problem: Mapping[str, object] | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.problem = dict(problem or {})
        self.retry_after = retry_after

    @property
    def code(self) -> str | None:
        """The service's stable name for what went wrong."""
        return _text(self.problem.get("code"))

    @property
    def request_id(self) -> str | None:
        """The name of the request in the service's log."""
        return _text(self.problem.get("request_id"))


class RequestError(NeuMetaClientError):
    """What was asked for cannot be had."""


@dataclass(frozen=True)
class FieldError:
    """One field of a request that is not allowed, and what is."""

    field: str
    value: object
    expected: str


class InvalidRequest(RequestError):
    """An argument is missing, unknown or out of range."""

    @property
    def errors(self) -> tuple[FieldError, ...]:
        """Each field that the service refused; empty when the request was not sent."""
        entries = self.problem.get("errors")
        found = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
        return tuple(FieldError(str(entry.get("field")), entry.get("value"), str(entry.get("expected"))) for entry in found)


class BudgetImpossible(RequestError):
    """No member of the family fits the budget."""

    @property
    def smallest(self) -> dict[str, float]:
        """The cost of the smallest member: ``params``, ``macs``, ``bytes``.

        When the budget named a device, of the smallest that was measured there, and the lowest ``latency_ms``.
        """
        costs = self.problem.get("smallest")
        return {str(name): cost for name, cost in costs.items() if isinstance(cost, (int, float))} if isinstance(costs, dict) else {}


class FitImpossible(RequestError):
    """No size of the model stays within the limits on this device; ``report`` has every one that was measured."""

    def __init__(self, message: str, *, report: FitReport | None = None) -> None:
        super().__init__(message)
        self.report = report

    @property
    def lowest_latency_ms(self) -> float | None:
        """The lowest latency that was reached, in the wanted metric."""
        return None if self.report is None else self.report.lowest_latency_ms


class ModelNotFound(RequestError):
    """The service has no model of that name."""


class VersionNotFound(RequestError):
    """The model has no version of that number or alias."""


class RungNotFound(RequestError):
    """The model has no rung of that name."""

    @property
    def rungs(self) -> tuple[str, ...]:
        """The rungs that it has."""
        names = self.problem.get("rungs")
        return tuple(str(name) for name in names) if isinstance(names, list) else ()


class ProfileNotFound(RequestError):
    """The service has no latency profile of that device for the model."""


class AccessRefused(RequestError):
    """The token is missing, unknown, expired or not for this request: ``code`` is ``unauthenticated`` or ``forbidden``."""


class ServiceError(NeuMetaClientError):
    """The service answered with an error; ``code`` and ``status`` say which."""


class ServiceUnavailable(ServiceError):
    """The service cannot answer now; the same request may succeed later."""


class ModelRefused(ServiceError):
    """The service found a fault in the model's file and does not serve it."""


class ArtifactGone(ServiceError):
    """The artifact was evicted, and a repeated request did not bring it back."""


class UnexpectedAnswer(ServiceError):
    """The answer is not what the HTTP API promises."""


class ConnectionFailed(NeuMetaClientError):
    """The service could not be reached, or the connection ended before the whole answer had come."""


class Offline(NeuMetaClientError):
    """The client may not ask the service, and the cache does not have what was asked for."""


class IntegrityError(NeuMetaClientError):
    """The bytes are not those that the manifest names; nothing was kept."""


class VerificationError(NeuMetaClientError):
    """The signature of a manifest does not prove what it should; nothing was kept."""


class SignatureMissing(VerificationError):
    """There is no signature: the service does not sign, or somebody took it away."""


class SignatureInvalid(VerificationError):
    """The signature is not valid, is by a key that may not sign, or is of something else than the answer."""


class SignatureExpired(VerificationError):
    """The signature is older than it may become; an answer of long ago was repeated, or this device's clock is wrong."""


class CertificateExpired(VerificationError):
    """The certificate of the key that signed is over, or has not begun; or this device's clock is wrong."""


class RollbackRefused(VerificationError):
    """The model's version is lower than one that was seen before."""


class MeasurementFailed(NeuMetaClientError):
    """A network does not run on this device, or its memory cannot be measured here."""


class CacheError(NeuMetaClientError):
    """A file on this device cannot be read or written."""


class SessionClosed(NeuMetaClientError):
    """A MorphingSession was closed before, or while it was asked for another size."""


class MissingExtra(NeuMetaClientError, ImportError):
    """A part of this package that is optional is not installed."""


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
