"""Every error that the core raises.

NeuMetaError
├── RequestError            what was asked for cannot be had (the caller's fault)
│   ├── InvalidField        one field has a value that is not allowed
│   │   └── PrecisionRefused    the network cannot be had in this precision; an AssemblyError too
│   │       └── WeightTooLarge  the precision cannot hold a weight
│   └── BudgetImpossible    no member of the family is small enough
├── ManifoldRefused         a manifold file is truncated, foreign, of another version or inconsistent
├── NetworkUnsupported      the trainer cannot make a manifold of this network
├── TemplateError           a network's graph cannot be expressed as a template with patches
├── AssemblyError           weights and template do not make a valid artifact
├── KeyRefused              a key's file is missing, foreign, locked, or would be overwritten
├── SignatureRefused        a signature or certificate is missing, not valid, expired, or of something else
└── DeviceUnavailable       the device that was asked for is not there

``code`` is stable: it goes over the wire and into logs, and clients decide by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from reprlib import Repr
from typing import ClassVar

# Values come from outside and can be of any size; messages go into logs and answers.
_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 100
_MAX_REASON = 400


def _cut(reason: str) -> str:
    return reason if len(reason) <= _MAX_REASON else f"{reason[: _MAX_REASON - 1]}…"


def _short(value: object) -> str:
    try:
        return _SHORT.repr(value)
    except ValueError:  # Python writes no integer of more than 4,300 digits.
        return "a number of thousands of digits"


class NeuMetaError(Exception):
    """Root of all errors of this project's server side."""

    code: ClassVar[str] = "internal_error"


class RequestError(NeuMetaError):
    """What was asked for cannot be had."""

    code = "invalid_request"


class InvalidField(RequestError):
    """One field has a value that is not allowed."""

    def __init__(self, field: str, value: object, expected: str) -> None:
        super().__init__(f"{field}: {_short(value)} is not allowed; expected {expected}.")
        self.field = field
        self.value = value
        self.expected = expected


class BudgetImpossible(RequestError):
    """No member fits the budget; ``smallest`` has the lowest of each measure, ``exceeded`` the limits below these, or all if none is."""

    code = "budget_impossible"

    def __init__(self, limits: Mapping[str, float], smallest: Mapping[str, float], *, member: str = "member of the family") -> None:
        self.exceeded = {name: limit for name, limit in limits.items() if smallest[name] > limit} or dict(limits)
        asked = ", ".join(f"{name} <= {value}" for name, value in self.exceeded.items())
        least = ", ".join(f"{name} = {round(value, 3)}" for name, value in smallest.items())
        super().__init__(f"budget: no {member} has {asked}; the lowest are {least}.")
        self.smallest = smallest


class ManifoldRefused(NeuMetaError):
    """A manifold file cannot be used. The reason is cut: it may hold names from the file, and goes into logs and answers."""

    code = "model_refused"

    def __init__(self, reason: str) -> None:
        super().__init__(_cut(reason))


class NetworkUnsupported(NeuMetaError):
    """The trainer cannot make a manifold of this network."""

    code = "network_unsupported"


class TemplateError(NeuMetaError):
    """A network's graph cannot be expressed as a template with patches."""

    code = "template_unsupported"


class AssemblyError(NeuMetaError):
    """Weights and template do not make a valid artifact."""

    code = "build_failed"


class KeyRefused(NeuMetaError):
    """A file with keys cannot be used."""

    code = "key_refused"


class SignatureRefused(NeuMetaError):
    """A signature or a certificate does not prove what it should."""

    code = "signature_refused"


class PrecisionRefused(InvalidField, AssemblyError):
    """A network cannot be had in a precision; whoever asked for it can ask for another one. The reason is cut as that of ``ManifoldRefused``."""

    def __init__(self, precision: str, reason: str) -> None:
        super().__init__("precision", precision, f"another one: {_cut(reason)}")


class WeightTooLarge(PrecisionRefused):
    """A precision cannot hold a weight."""

    def __init__(self, precision: str, weight: str, largest: float) -> None:
        super().__init__(precision, f"{_SHORT.repr(weight)} holds values beyond {largest:g}, the largest of {precision}")


class DeviceUnavailable(NeuMetaError):
    """The device that was asked for is not there."""

    code = "device_unavailable"
