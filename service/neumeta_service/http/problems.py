"""Errors as RFC 9457 problem documents: one table from codes to statuses, and the handlers that use it."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from neumeta_core.errors import BudgetImpossible, InvalidField, NeuMetaError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from neumeta_service.errors import MalformedBody, RangeNotSatisfiable, RefusedRequest, SelfCheckFailed
from neumeta_service.telemetry.log import request_id

MEDIA_TYPE = "application/problem+json"
PROBLEMS: Mapping[str, tuple[HTTPStatus, str]] = {
    "malformed_body": (HTTPStatus.BAD_REQUEST, "The body is not JSON"),
    "invalid_request": (HTTPStatus.UNPROCESSABLE_ENTITY, "The request is not valid"),
    "budget_impossible": (HTTPStatus.UNPROCESSABLE_ENTITY, "No member fits the budget"),
    "model_not_found": (HTTPStatus.NOT_FOUND, "There is no such model"),
    "version_not_found": (HTTPStatus.NOT_FOUND, "There is no such version of the model"),
    "rung_not_found": (HTTPStatus.NOT_FOUND, "There is no such rung of the model"),
    "profile_not_found": (HTTPStatus.NOT_FOUND, "There is no such profile of the device"),
    "too_many_profiles": (HTTPStatus.CONFLICT, "Too many devices have a profile"),
    "model_refused": (HTTPStatus.SERVICE_UNAVAILABLE, "The model's file was refused"),
    "artifact_gone": (HTTPStatus.NOT_FOUND, "The artifact is gone"),
    "not_signed": (HTTPStatus.NOT_FOUND, "The service does not sign"),
    "not_found": (HTTPStatus.NOT_FOUND, "There is no such route"),
    "method_not_allowed": (HTTPStatus.METHOD_NOT_ALLOWED, "The method is not allowed here"),
    "not_acceptable": (HTTPStatus.NOT_ACCEPTABLE, "Nothing acceptable can be sent"),
    "precondition_failed": (HTTPStatus.PRECONDITION_FAILED, "The artifact is another"),
    "body_too_large": (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large"),
    "unsupported_media_type": (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The body is not declared as JSON"),
    "unauthenticated": (HTTPStatus.UNAUTHORIZED, "The request carries no valid token"),
    "forbidden": (HTTPStatus.FORBIDDEN, "The token does not allow this"),
    "misdirected": (HTTPStatus.MISDIRECTED_REQUEST, "The request is for another host"),
    "rate_limited": (HTTPStatus.TOO_MANY_REQUESTS, "Too many requests"),
    "headers_too_large": (HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The request's head is too large"),
    "range_not_satisfiable": (HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "The range lies outside the artifact"),
    "explorer_missing": (HTTPStatus.NOT_FOUND, "The explorer page is not here"),
    "not_ready": (HTTPStatus.SERVICE_UNAVAILABLE, "No model is loaded"),
    "store_unavailable": (HTTPStatus.SERVICE_UNAVAILABLE, "A place where files lie cannot be used"),
    "draining": (HTTPStatus.SERVICE_UNAVAILABLE, "The service is about to stop"),
    "overloaded": (HTTPStatus.SERVICE_UNAVAILABLE, "Too many artifacts wait to be built"),
    "deadline_exceeded": (HTTPStatus.GATEWAY_TIMEOUT, "The artifact was not ready in time"),
    "build_failed": (HTTPStatus.INTERNAL_SERVER_ERROR, "The artifact could not be built"),
    "self_check_failed": (HTTPStatus.INTERNAL_SERVER_ERROR, "The artifact does not work"),
    "job_not_found": (HTTPStatus.NOT_FOUND, "There is no such job"),
    "too_many_jobs": (HTTPStatus.SERVICE_UNAVAILABLE, "Too many jobs are waiting"),
    "idempotency_key_reused": (HTTPStatus.UNPROCESSABLE_ENTITY, "The idempotency key belongs to another request"),
    "internal_error": (HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong"),
}
_CODES_OF_STATUS = {404: "not_found", 405: "method_not_allowed"}
_EXPECTED = {"extra_forbidden": "no field of this name", "missing": "a value"}
_OBJECT_ERRORS = ("model_attributes_type", "model_type", "dict_type")
_MAX_ERRORS = 16
_METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 100
_short.maxlevel = 2


def install(app: FastAPI) -> None:
    """Make every error of this app a problem document."""
    app.add_exception_handler(NeuMetaError, _on_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_validation_error)


def problem_of(error: Exception, scope: Scope) -> Response:
    """The problem document of any error; what is not ours, or is our fault, says no more than its code."""
    code, detail = explain(error)
    if isinstance(error, InvalidField):
        return _invalid(scope, [(error.field, error.value, error.expected)])
    if isinstance(error, BudgetImpossible):
        return _problem(scope, code, detail, {"smallest": error.smallest})
    if isinstance(error, RangeNotSatisfiable):
        return _problem(scope, code, detail, headers={"content-range": f"bytes */{error.size}"})
    if isinstance(error, RefusedRequest):
        return _problem(scope, code, detail, error.members, error.headers)
    return _problem(scope, code, detail)


def explain(error: Exception) -> tuple[str, str]:
    """Code and sentence of any error, for whoever asked."""
    code = error.code if isinstance(error, NeuMetaError) and error.code in PROBLEMS else "internal_error"
    if PROBLEMS[code][0] == HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(error, SelfCheckFailed):
        return code, "The fault is the service's; its log has this request id."
    return code, str(error)


async def _on_error(request: Request, error: Exception) -> Response:
    return problem_of(error, request.scope)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.BAD_REQUEST:  # What FastAPI makes of too deep nesting and too long integers.
        return problem_of(MalformedBody("The body is not JSON that can be read."), request.scope)
    code = _CODES_OF_STATUS.get(error.status_code, "internal_error")
    headers = error.headers
    # A router names the methods of one route alone. What is mounted names all of its own, and its paths are not the app's.
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED and "app_root_path" not in request.scope:
        headers = {"allow": ", ".join(_allowed(request))}
    return _problem(request.scope, code, f"{request.method} {request.url.path}: {error.detail}.", headers=headers)


def _allowed(request: Request) -> list[str]:
    """Every method that the path of a request has (RFC 9110 section 10.2.1); HEAD wherever it has GET."""

    def has(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in request.app.router.routes)

    return [method for method in _METHODS if has("GET" if method == "HEAD" else method)]


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = error.errors()
    if errors[0]["type"] == "json_invalid":
        return problem_of(MalformedBody(f"The body is not JSON: {errors[0]['ctx']['error']} at character {errors[0]['loc'][-1]}."), request.scope)
    if errors[0]["type"] == "missing" and errors[0]["loc"] == ("body",):
        return problem_of(MalformedBody("The body is empty; expected a JSON object."), request.scope)
    return _invalid(request.scope, [(_field(item["loc"]), item.get("input"), _expected(item)) for item in errors[:_MAX_ERRORS]])


def _field(location: tuple[str | int, ...]) -> str:
    return ".".join(str(part) for part in location[1:]) or "body"


def _expected(item: Mapping[str, Any]) -> str:
    if item["type"] in _OBJECT_ERRORS:
        return "a JSON object"
    return _EXPECTED.get(item["type"]) or str(item["msg"]).removeprefix("Input should be ")


def _invalid(scope: Scope, errors: list[tuple[str, object, str]]) -> Response:
    detail = " ".join(f"{_text(field)}: {_short.repr(value)} is not allowed; expected {expected}." for field, value, expected in errors)
    listed = [{"field": _text(field), "value": _echo(value), "expected": expected} for field, value, expected in errors]
    return _problem(scope, "invalid_request", detail, {"errors": listed})


def _echo(value: object) -> object:
    """A value that JSON can say to everybody: itself, or its shortened repr."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)) and abs(value) < 2**53:  # False for NaN too.
        return value
    return _text(value) if isinstance(value, str) else _short.repr(value)


def _text(text: str) -> str:
    """A client's own text, if it is short and can be printed (half of a surrogate pair cannot); else its shortened repr."""
    return text if len(text) <= _short.maxstring and text.isprintable() else _short.repr(text)


def _problem(scope: Scope, code: str, detail: str, members: Mapping[str, object] | None = None, headers: Mapping[str, str] | None = None) -> Response:
    scope.setdefault("state", {})["outcome"] = code
    status, title = PROBLEMS[code]
    document = {
        "type": f"urn:neumeta:problem:{code}",
        "title": title,
        "status": int(status),
        "detail": detail,
        "instance": _reference(scope["path"]),
        "code": code,
        "request_id": request_id.get(),
        **(members or {}),
    }
    # What is wrong now may be right in a second: no cache may keep it (404 it could, without asking; RFC 9110 section 15.1).
    return Response(json.dumps(document, allow_nan=False), status, {"cache-control": "no-store", **(headers or {})}, MEDIA_TYPE)


def _reference(path: str) -> str:
    """A path as a URI reference; with two slashes in front it would name a host (RFC 3986 section 4.2)."""
    quoted = quote(path, safe="/:@")
    return f"/%2F{quoted[2:]}" if quoted.startswith("//") else quoted
