"""The HTTP API in pure functions, for both clients: requests out, answers in, every failure an error of this package."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Union

from neumeta_client._errors import (
    AccessRefused,
    ArtifactGone,
    BudgetImpossible,
    IntegrityError,
    InvalidRequest,
    ModelNotFound,
    ModelRefused,
    NeuMetaClientError,
    ProfileNotFound,
    RungNotFound,
    ServiceError,
    ServiceUnavailable,
    SignatureMissing,
    UnexpectedAnswer,
    VersionNotFound,
)
from neumeta_client._local.download import Download
from neumeta_client._types import ALIAS, MODEL_NAME, Manifest

MAX_JSON_BYTES = 16 << 20
LONGEST_REST_S = 1e9
"""More than anybody waits for, and no more than every system can wait for."""
Version = Union[int, str, None]
"""A version's number, as text too, or an alias; None is the service's latest version."""
Budget = Mapping[str, Union[int, float, str]]
"""Maxima of ``params``, ``macs``, ``bytes`` and ``latency_ms``; ``device`` names the profile that latency is read from."""

ERRORS_BY_CODE: Mapping[str, type[NeuMetaClientError]] = {
    "artifact_gone": ArtifactGone,
    "body_too_large": InvalidRequest,
    "budget_impossible": BudgetImpossible,
    "deadline_exceeded": ServiceUnavailable,
    "draining": ServiceUnavailable,
    "forbidden": AccessRefused,
    "invalid_request": InvalidRequest,
    "model_not_found": ModelNotFound,
    "model_refused": ModelRefused,
    "profile_not_found": ProfileNotFound,
    "not_ready": ServiceUnavailable,
    "rung_not_found": RungNotFound,
    "store_unavailable": ServiceUnavailable,
    "version_not_found": VersionNotFound,
    "overloaded": ServiceUnavailable,
    "rate_limited": ServiceUnavailable,
    "unauthenticated": AccessRefused,
    "not_signed": SignatureMissing,
}
_STORED = (HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.NO_CONTENT)
"""What a PUT is answered with when it was successful (RFC 9110, section 9.3.4)."""
_TEMPORARY = (429, 502, 503, 504)
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,15})-([0-9]{1,15})/([0-9]{1,15})")


@dataclass(frozen=True)
class Request:
    """One HTTP request; the bytes of a good answer go ``into`` a download, or are read as JSON."""

    method: str
    path: str
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: {"Accept": "application/json"})
    into: Download | None = None


@dataclass(frozen=True)
class Selection:
    """Which member is wanted: exactly one of ``compression``, ``widths``, ``budget`` and ``rung``, a number format and a version."""

    compression: float | None = None
    widths: Mapping[str, int] | None = None
    budget: Budget | None = None
    rung: str | None = None
    precision: str = "fp32"
    version: Version = None

    @property
    def is_fixed(self) -> bool:
        """Whether it means the same artifact for ever: versions never change, but aliases, rungs and profiles of devices do."""
        return str(self.version).isdecimal() and self.rung is None and "device" not in (self.budget or {})

    def followed(self) -> Selection:
        """Itself. Raises InvalidRequest when nothing newer can ever come of it."""
        if str(self.version).isdecimal():
            raise InvalidRequest(f"version: {self.version!r} never changes; expected an alias, or none for the latest version.")
        return self

    def key(self, service: str) -> str:
        """A name for this request to this service, 64 hexadecimal digits, however version and address are spelt. Raises InvalidRequest."""
        asked = json.loads(self.body(), parse_int=float)
        if str(self.version).isdecimal():
            asked["version"] = str(int(str(self.version)))
        return hashlib.sha256(json.dumps([service.rstrip("/"), asked], sort_keys=True).encode()).hexdigest()

    def body(self) -> bytes:
        """The JSON body of the request. Raises InvalidRequest."""
        selectors: dict[str, object] = {"compression": self.compression, "widths": self.widths, "budget": self.budget, "rung": self.rung}
        chosen = {name: value for name, value in selectors.items() if value is not None}
        if len(chosen) != 1:
            given = " and ".join(chosen) or "none of them"
            raise InvalidRequest(f"Exactly one of compression, widths, budget and rung says which size is wanted; given: {given}.")
        for name in ("widths", "budget"):
            if not isinstance(chosen.get(name, {}), Mapping):
                raise InvalidRequest(f"{name}: {chosen[name]!r:.100} is not allowed; expected names, each with its number.")
        if self.version is not None:
            chosen["version"] = checked_version(self.version)
        try:
            return json.dumps({**chosen, "precision": self.precision}, allow_nan=False, default=_as_object).encode()
        except (TypeError, ValueError) as error:
            raise InvalidRequest(f"The request is not allowed: {one_line(str(error))}; expected finite numbers, integers and strings.") from error


def read(path: str, version: Version = None) -> Request:
    """A request for a JSON document, of one version of a model or of what there is only once. Raises InvalidRequest."""
    return Request("GET", path if version is None else f"{path}?version={checked_version(version)}")


def materialize(name: str, selection: Selection) -> Request:
    """A request for the manifest of a member. Raises InvalidRequest."""
    headers = {"Accept": "application/json", "Content-Type": "application/json"}
    return Request("POST", f"{model_path(name)}/materialize", content=selection.body(), headers=headers)


def download(manifest: Manifest, into: Download) -> Request:
    """A request for the bytes of an artifact that are not there yet.

    The rest comes only if the service still has the very same bytes (RFC 9110, section 13.1.5), else all of them.
    """
    headers = {"Accept": "application/octet-stream", "Accept-Encoding": "identity"}
    if into.received:
        headers |= {"Range": f"bytes={into.received}-", "If-Range": f'"{manifest.digest}"'}
    return Request("GET", manifest.url, headers=headers, into=into)


def model_path(name: str) -> str:
    """The path of a model. Raises InvalidRequest."""
    if not isinstance(name, str) or not MODEL_NAME.fullmatch(name):
        raise InvalidRequest(f"name: {name!r} is not allowed; expected up to 64 of a-z, 0-9, '.', '_' and '-', a letter or digit first.")
    return f"/v1/models/{name}"


def checked_version(version: int | str) -> int | str:
    """A version that can be asked for. Raises InvalidRequest."""
    is_number = isinstance(version, int) and not isinstance(version, bool) and version > 0
    if is_number or (isinstance(version, str) and ALIAS.fullmatch(version)):
        return version
    raise InvalidRequest(f"version: {version!r:.100} is not allowed; expected a positive integer or an alias, such as 'latest'.")


class Answer:
    """One HTTP answer as it comes in."""

    def __init__(self, request: Request) -> None:
        self._into = request.into
        self._stores = request.method == "PUT"
        self._body = bytearray()

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Status and headers are there."""
        self._status, self._headers = status, headers
        self._type = headers.get("content-type", "").partition(";")[0].strip().lower()
        if self._into is not None:
            self._begin_download(self._into)

    def _begin_download(self, into: Download) -> None:
        if self._status == HTTPStatus.PARTIAL_CONTENT:
            _check_rest(into, self._headers)
        elif self._status == HTTPStatus.OK:
            into.restart()
        elif self._status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise IntegrityError(f"The service has no more than the {into.received} bytes that are there; the manifest names {into.size}.")
        else:
            self._into = None
        length = self._headers.get("content-length", "")
        if self._into is not None and length.isdecimal() and len(length) < 16 and "content-encoding" not in self._headers:
            into.announce(int(length))

    def write(self, chunk: bytes) -> None:
        """A piece of the body is there."""
        if self._into is not None:
            self._into.write(chunk)
        elif len(self._body) + len(chunk) > MAX_JSON_BYTES:
            raise UnexpectedAnswer(f"The service's answer is longer than {MAX_JSON_BYTES} bytes.", status=self._status)
        else:
            self._body += chunk

    def result(self) -> object:
        """The JSON value of a good answer (None when its bytes went into a download, or to a PUT); raises the error of another one."""
        if self._into is not None or (self._stores and self._status in _STORED):
            return None
        if self._status != HTTPStatus.OK:
            raise error_of(self._status, self._type, bytes(self._body), retry_after=_seconds(self._headers.get("retry-after", "")))
        return _json(bytes(self._body), self._status)


def error_of(status: int, media_type: str, body: bytes, *, retry_after: float | None = None) -> NeuMetaClientError:
    """The error that an answer stands for: by ``code`` in a problem document, else by status."""
    problem = _problem(body) if media_type == "application/problem+json" else {}
    code = problem.get("code")
    fallback = ServiceUnavailable if status in _TEMPORARY else ServiceError
    kind = ERRORS_BY_CODE.get(code, fallback) if isinstance(code, str) else fallback
    detail = problem.get("detail") or problem.get("title")
    unknown = f"The answer is {_status_name(status)}, from a proxy or from something that is not a NeuMeta service."
    return kind(one_line(detail) if isinstance(detail, str) else unknown, status=status, problem=problem, retry_after=retry_after)


def one_line(text: str) -> str:
    """Text by others, fit for terminals and logs: no control characters, of bounded length."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:500]


def _check_rest(into: Download, headers: Mapping[str, str]) -> None:
    """Raises IntegrityError unless the answer is the rest of the bytes that are there, and of nothing else."""
    found = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
    wanted = (into.received, into.size - 1, into.size)
    if found is None or tuple(int(number) for number in found.groups()) != wanted:
        raise IntegrityError(f"The service sent {headers.get('content-range', '')!r:.80}; expected 'bytes {wanted[0]}-{wanted[1]}/{wanted[2]}'.")
    if headers.get("etag", f'"{into.digest}"') != f'"{into.digest}"':
        raise IntegrityError(f"The service sent a part of {headers['etag']!r:.90}; expected one of {into.digest}.")


def _seconds(text: str) -> float | None:
    """What ``Retry-After`` says (RFC 9110, section 10.2.3): seconds, or a date; None for anything else."""
    if text.isdecimal():
        return float(text[:9])
    from email.utils import parsedate_to_datetime

    try:
        return min(max(0.0, parsedate_to_datetime(text).timestamp() - time.time()), LONGEST_REST_S)
    except (TypeError, ValueError, OverflowError):
        return None


def _as_object(value: object) -> dict[str, object]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{value!r} is no JSON value")


def _json(body: bytes, status: int) -> object:
    try:
        value: object = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UnexpectedAnswer("The answer is not JSON; is there a NeuMeta service at this address?", status=status) from error
    return value


def _problem(body: bytes) -> dict[str, object]:
    try:
        problem = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return problem if isinstance(problem, dict) else {}


def _status_name(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
