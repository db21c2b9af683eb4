"""The machine-readable description of the API."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from neumeta_service.http.problems import MEDIA_TYPE, PROBLEMS
from neumeta_service.http.schemas import ProblemDocument

Responses = dict[int | str, dict[str, Any]]
Content = dict[str, dict[str, Any]]
BYTES: Content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
TEXT: Content = {"text/plain": {"schema": {"type": "string"}}}
PROBLEM: Content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}}
OF_A_BODY = ("malformed_body", "invalid_request", "body_too_large", "unsupported_media_type")
"""Problems of every request with a body."""
OF_A_SELECTION = (
    *OF_A_BODY,
    "budget_impossible",
    "model_not_found",
    "version_not_found",
    "rung_not_found",
    "profile_not_found",
    "model_refused",
    "store_unavailable",
)
"""Problems of every request that says which member is wanted."""
ANY_PROBLEM: Responses = {"default": {"description": "Any other problem.", "content": PROBLEM}}


class DescribedApp(FastAPI):
    """FastAPI whose description holds the schema of problem documents, which no handler returns."""

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document, made once."""
        if self.openapi_schema is not None:
            return self.openapi_schema
        document = super().openapi()
        _, schemas = models_json_schema([(ProblemDocument, "serialization")], ref_template="#/components/schemas/{model}")
        document["components"]["schemas"] |= schemas["$defs"]
        # The page then has a field for a token. Whether one is needed is the operator's choice, hence the empty alternative.
        document["components"]["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{}, {"bearer": []}]
        return document


def answer(content: Content, status: int = 200, *, description: str = "As asked for.", **more: object) -> Responses:
    """A response of a route, for its description."""
    return {status: {"description": description, "content": content, **more}}


def problems(*codes: str) -> Responses:
    """Responses of a route that answers with these problems."""
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(int(PROBLEMS[code][0]), []).append(f"`{code}`")
    return {status: {"description": ", ".join(listed), "content": PROBLEM} for status, listed in by_status.items()}
