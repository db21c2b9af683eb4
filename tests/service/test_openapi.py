from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from neumeta_core.precision import PRECISIONS
from neumeta_service.http.problems import PROBLEMS

from tests.service.serving import in_process, tiny_app

pytestmark = pytest.mark.anyio


@pytest.fixture
async def document(models: Path) -> dict[str, Any]:
    async with in_process(tiny_app(models)) as client:
        described: dict[str, Any] = (await client.get("/openapi.json")).json()
        return described


async def test_the_committed_document_is_what_is_served(document: dict[str, Any]) -> None:
    """Byte for byte what `make openapi` writes, so that a change of the API is seen where it is reviewed."""
    committed = (Path(__file__).parents[2] / "docs" / "openapi.json").read_text(encoding="utf-8")
    served = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    assert committed == served, "The API has changed: run `make openapi` and commit docs/openapi.json."


def operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for path in document["paths"].values() for operation in path.values()]


async def test_operation_ids_are_stable(document: dict[str, Any]) -> None:
    ids = {
        f"{method.upper()} {path}": operation["operationId"] for path, methods in document["paths"].items() for method, operation in methods.items()
    }
    assert ids == {
        "GET /v1/models": "list_models",
        "GET /v1/models/{name}": "get_model",
        "GET /v1/models/{name}/versions": "list_versions",
        "GET /v1/models/{name}/curve": "get_curve",
        "GET /v1/models/{name}/samples": "get_samples",
        "POST /v1/models/{name}/plan": "plan",
        "POST /v1/models/{name}/materialize": "materialize",
        "GET /v1/models/{name}/profiles": "list_profiles",
        "GET /v1/models/{name}/profiles/{device}": "get_profile",
        "PUT /v1/models/{name}/profiles/{device}": "put_profile",
        "DELETE /v1/models/{name}/profiles/{device}": "delete_profile",
        "GET /v1/artifacts/{digest}": "get_artifact",
        "HEAD /v1/artifacts/{digest}": "head_artifact",
        "POST /v1/admin/reload": "reload_models",
        "POST /v1/jobs": "create_job",
        "GET /v1/jobs": "list_jobs",
        "GET /v1/jobs/{job_id}": "get_job",
        "DELETE /v1/jobs/{job_id}": "cancel_job",
        "GET /v1/artifacts/{digest}/signature": "get_signature",
        "GET /livez": "get_livez",
        "GET /readyz": "get_readyz",
        "GET /metrics": "get_metrics",
    }


async def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    references = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert references == document["components"]["schemas"].keys()


async def test_problems_are_described_as_problems(document: dict[str, Any]) -> None:
    described = set()
    for operation in operations(document):
        for status, answer in operation["responses"].items():
            if status == "default" or int(status) >= 400:
                assert list(answer["content"]) == ["application/problem+json"]
                described |= {(code, status) for code in re.findall("`([a-z_]+)`", answer["description"])}
    assert described <= {(code, str(int(status))) for code, (status, _) in PROBLEMS.items()}


async def test_what_every_body_can_be_refused_for_is_described(document: dict[str, Any]) -> None:
    refusals = [operation["responses"] for operation in operations(document) if "requestBody" in operation]
    assert len(refusals) == 4
    for responses in refusals:
        described = {status: responses[status]["description"].split(", ")[0] for status in ("400", "413", "415", "422")}
        assert described == {"400": "`malformed_body`", "413": "`body_too_large`", "415": "`unsupported_media_type`", "422": "`invalid_request`"}


async def test_precisions_are_listed(document: dict[str, Any]) -> None:
    assert document["components"]["schemas"]["MaterializeRequest"]["properties"]["precision"]["enum"] == list(PRECISIONS)


async def test_an_artifact_is_described_in_full(document: dict[str, Any]) -> None:
    operations = document["paths"]["/v1/artifacts/{digest}"]
    assert operations.keys() == {"get", "head"}
    for operation in operations.values():
        assert operation["tags"] == ["artifacts"]
        assert [(parameter["name"], parameter["in"], parameter["schema"]["type"]) for parameter in operation["parameters"]] == [
            ("digest", "path", "string")
        ]
        assert operation["responses"].keys() >= {"200", "206", "304", "404", "416", "500", "default"}
        assert list(operation["responses"]["206"]["content"]) == ["application/octet-stream"]


async def test_materialize_answers_bytes_or_a_manifest(document: dict[str, Any]) -> None:
    operation = document["paths"]["/v1/models/{name}/materialize"]["post"]
    assert operation["responses"]["200"]["content"].keys() == {"application/json", "application/octet-stream"}
    request = document["components"]["schemas"]["MaterializeRequest"]
    assert request["additionalProperties"] is False
    assert request["properties"]["compression"]["type"] == "number"
