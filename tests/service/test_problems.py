"""Every error is a problem document with a stable code, a status and a line in the documentation."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import neumeta_core.errors
import neumeta_service.errors
import pytest
from neumeta_core.errors import NeuMetaError
from neumeta_service.http.problems import PROBLEMS
from neumeta_service.http.schemas import ProblemDocument

from tests.service.serving import POST, CountedManifold, in_process, tiny_app

pytestmark = pytest.mark.anyio
DOCS = Path(__file__).parents[2] / "docs"
JSON_BODY = {"content-type": "application/json"}


@pytest.fixture
async def client(models: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with in_process(tiny_app(models)) as client:
        yield client


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The document, checked in every respect that all of them share."""
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json"), response.text

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is not JSON")

    document: dict[str, Any] = json.loads(response.content.decode("ascii"), parse_constant=refuse)
    ProblemDocument.model_validate(document)
    assert document["code"] == code
    assert document["status"] == status
    assert document["type"] == f"urn:neumeta:problem:{code}"
    assert unquote(document["instance"]) == response.request.url.path
    assert document["request_id"] == response.headers["x-request-id"]
    assert len(response.content) < 20_000
    return document


@pytest.mark.parametrize(
    ("body", "field", "value", "expected"),
    [
        ('{"compression": 0.76}', "compression", 0.76, "a number from 0 to 0.75"),
        ('{"compression": -0.1}', "compression", -0.1, "a number from 0 to 0.75"),
        ('{"compression": NaN}', "compression", "nan", "a number from 0 to 0.75"),
        ('{"compression": Infinity}', "compression", "inf", "a number from 0 to 0.75"),
        ('{"compression": -Infinity}', "compression", "-inf", "a number from 0 to 0.75"),
        ('{"compression": 1e999}', "compression", "inf", "a number from 0 to 0.75"),
        ('{"compression": "0.5"}', "compression", "0.5", "a number from 0 to 0.75"),
        ('{"compression": true}', "compression", True, "a number from 0 to 0.75"),
        ('{"compression": [0.5]}', "compression", "[0.5]", "a number"),
        ('{"compression": {}}', "compression", "{}", "a number"),
        ('{"compression": "\\ud800"}', "compression", "'\\ud800'", "a number from 0 to 0.75"),
        ('{"compression": 0.5, "precision": "int4"}', "precision", "int4", "'fp32', 'fp16' or 'int8'"),
        ('{"compression": 0.5, "precision": null}', "precision", None, "'fp32', 'fp16' or 'int8'"),
        ('{"compression": 0.5, "colour": 1}', "colour", 1, "no field of this name"),
        ('{"widths": {"conv1": 4, "conv9": 1}}', "widths.conv9", 1, "one of the channel groups conv1, conv2"),
        ('{"widths": {"conv1": 4}}', "widths.conv2", None, "an integer from 3 to 12"),
        ('{"widths": {"conv1": 9, "conv2": 3}}', "widths.conv1", 9, "an integer from 2 to 8"),
        ('{"widths": {"conv1": 4.0, "conv2": 3}}', "widths.conv1", 4.0, "an integer from 2 to 8"),
        ('{"widths": {"conv1": true, "conv2": 3}}', "widths.conv1", True, "an integer from 2 to 8"),
        ('{"widths": {"conv1": "4", "conv2": 3}}', "widths.conv1", "4", "an integer from 2 to 8"),
        ('{"widths": {"conv1": [4], "conv2": 3}}', "widths.conv1", "[4]", "an integer"),
        ('{"widths": [4, 3]}', "widths", "[4, 3]", "a JSON object"),
        ('{"budget": {}}', "budget", "{}", "at least one of params, macs, bytes and latency_ms with device"),
        ('{"budget": {"params": 0}}', "budget.params", 0, "a positive integer"),
        ('{"budget": {"macs": 1.5}}', "budget.macs", 1.5, "a positive integer"),
        ('{"budget": {"bytes": true}}', "budget.bytes", True, "a positive integer"),
        ('{"budget": {"seconds": 1}}', "budget.seconds", 1, "no field of this name"),
        ('{"budget": 5}', "budget", 5, "a JSON object"),
        ("{}", "body", "{}", "exactly one of compression, widths, budget and rung"),
        ('{"compression": null}', "body", "{'compression': None}", "exactly one of compression, widths, budget and rung"),
        ('{"compression": 0.5, "budget": {"params": 9}}', "body", ..., "exactly one of compression, widths, budget and rung"),
        ("[0.5]", "body", "[0.5]", "a JSON object"),
        ("0.5", "body", 0.5, "a JSON object"),
        ("null", "body", None, "a JSON object"),
    ],
)
async def test_invalid_requests_name_field_value_and_range(client: httpx.AsyncClient, body: str, field: str, value: object, expected: str) -> None:
    document = problem(await client.post(POST, content=body, headers=JSON_BODY), 422, "invalid_request")
    (error,) = document["errors"]
    assert error["field"] == field
    assert value is ... or (error["value"] == value and type(error["value"]) is type(value))
    assert error["expected"] == expected
    assert document["detail"].startswith(f"{field}: ")
    assert document["detail"].endswith(f" is not allowed; expected {expected}.")


@pytest.mark.parametrize(
    "body",
    [
        '{"compression": 1' + "0" * 400 + "}",
        '{"widths": {"conv1": 1' + "0" * 400 + ', "conv2": 3}}',
        '{"compression": ' + "[" * 900 + "]" * 900 + "}",
        '{"widths": {"conv1": ' + "[" * 900 + "]" * 900 + ', "conv2": 3}}',
        '{"compression": "' + "x" * 10_000 + '"}',
        '{"' + "x" * 10_000 + '": 1}',
        '{"widths": {"' + "x" * 10_000 + '": 1}}',
        '{"\\ud800": 1}',
        '{"widths": {"\\ud800": 1}}',
        '{"widths": {"a\\nb": 1}}',
        "{" + ", ".join(f'"f{number}": 1' for number in range(1000)) + "}",
    ],
)
async def test_strange_values_do_not_break_the_answer(client: httpx.AsyncClient, body: str) -> None:
    document = problem(await client.post(POST, content=body, headers=JSON_BODY), 422, "invalid_request")
    assert document["detail"].isprintable()
    assert len(document["errors"]) <= 16


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"compression=0.5",
        b"{'compression': 0.5}",
        b"\xff\xfe",
        b'{"compression": 0.5}}',
        b"[" * 10_000,
        b"1" * 10_000,
        b'{"compression": .5}',
    ],
)
async def test_malformed_bodies(client: httpx.AsyncClient, body: bytes) -> None:
    problem(await client.post(POST, content=body, headers=JSON_BODY), 400, "malformed_body")


async def test_a_huge_budget_is_a_budget(client: httpx.AsyncClient) -> None:
    response = await client.post(POST, content='{"budget": {"params": 1' + "0" * 400 + "}}", headers=JSON_BODY)
    assert response.status_code == 200


async def test_an_impossible_budget_states_the_smallest_member(client: httpx.AsyncClient) -> None:
    document = problem(await client.post(POST, json={"budget": {"params": 10}}), 422, "budget_impossible")
    assert document["smallest"].keys() == {"params", "macs", "bytes"}
    assert (await client.post(POST, json={"budget": document["smallest"]})).status_code == 200


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonx", "application/problem+json", "json"]
)
async def test_bodies_that_are_not_declared_as_json(client: httpx.AsyncClient, content_type: str | None) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    for path in (POST, "/v1/models/tiny/plan"):
        document = problem(await client.post(path, content=b'{"compression": 0.5}', headers=headers), 415, "unsupported_media_type")
        assert "application/json" in document["detail"]


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8", "application/json;"])
async def test_bodies_that_are(client: httpx.AsyncClient, content_type: str) -> None:
    assert (await client.post(POST, content=b'{"compression": 0.5}', headers={"content-type": content_type})).status_code == 200


async def test_nothing_acceptable(client: httpx.AsyncClient) -> None:
    document = problem(await client.post(POST, json={"compression": 0.5}, headers={"accept": "text/html"}), 406, "not_acceptable")
    assert "text/html" in document["detail"]


async def test_unknown_things(client: httpx.AsyncClient) -> None:
    problem(await client.post("/v1/models/nobody/materialize", json={"compression": 0.5}), 404, "model_not_found")
    problem(await client.get("/v1/models/nobody"), 404, "model_not_found")
    problem(await client.get("/v1/models/%0aSet-Cookie:x/curve"), 404, "model_not_found")
    problem(await client.get(f"/v1/artifacts/sha256:{'0' * 64}"), 404, "artifact_gone")
    problem(await client.get("/v1/artifacts/%2e%2e%2fpasswd"), 404, "not_found")
    problem(await client.get("/v2/anything"), 404, "not_found")
    problem(await client.get("/v1/models/"), 404, "not_found")


@pytest.mark.parametrize(
    ("target", "instance"),
    [("/%00%0a%20x", "/%00%0A%20x"), ("//evil.example/x", "/%2Fevil.example/x"), ("/a%2520b", "/a%2520b"), ("/v1/mod%C3%A9les", "/v1/mod%C3%A9les")],
)
async def test_the_instance_is_a_reference_to_what_was_asked_for(client: httpx.AsyncClient, target: str, instance: str) -> None:
    url = client.base_url.copy_with(raw_path=target.encode())
    response = await client.send(httpx.Request("GET", url))
    assert response.json()["instance"] == instance


async def test_no_cache_keeps_a_problem(client: httpx.AsyncClient) -> None:
    for response in (await client.get(f"/v1/artifacts/sha256:{'0' * 64}"), await client.post(POST, json={})):
        assert response.headers["cache-control"] == "no-store"


async def test_a_method_that_is_not_allowed_names_those_that_are(client: httpx.AsyncClient) -> None:
    response = await client.get(POST)
    problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "POST"
    problem(await client.delete("/v1/models/tiny"), 405, "method_not_allowed")


# The last ones end as a path of the API does, and like the page.
@pytest.mark.parametrize("path", ["/assets/x.js", "/docs/assets/swagger-ui.css", f"/assets{POST}", "/assets/"])
async def test_files_of_pages_name_their_methods_too(client: httpx.AsyncClient, path: str) -> None:
    for method in ("POST", "DELETE"):
        response = await client.request(method, path)
        problem(response, 405, "method_not_allowed")
        assert response.headers["allow"] == "GET, HEAD"


class Exploding(CountedManifold):
    @property
    def fingerprint(self) -> str:
        raise RuntimeError("a secret of the machine")


async def test_what_nobody_foresaw_says_no_more_than_its_code(models: Path, caplog: pytest.LogCaptureFixture) -> None:
    manifold = Exploding.load(models / "tiny" / "1" / "manifold.safetensors")
    async with in_process(tiny_app(models, manifold)) as client:
        response = await client.post(POST, json={"compression": 0.5}, headers={"x-request-id": "one"})
        document = problem(response, 500, "internal_error")
        assert document["request_id"] == "one"
        assert "secret" not in response.text
        assert "a secret of the machine" in caplog.text
        assert (await client.get("/v1/models/tiny")).status_code == 200, "the service goes on"


class Failing(CountedManifold):
    def materialize(self, member: object) -> Any:
        raise RuntimeError(f"a secret of the machine {member}")


async def test_a_failed_build(models: Path) -> None:
    async with in_process(tiny_app(models, Failing.load(models / "tiny" / "1" / "manifold.safetensors"))) as client:
        response = await client.post(POST, json={"compression": 0.5})
        problem(response, 500, "build_failed")
        assert "secret" not in response.text


def _errors(root: type[NeuMetaError] = NeuMetaError) -> Iterator[type[NeuMetaError]]:
    yield root
    for child in root.__subclasses__():
        if child.__module__ in (neumeta_core.errors.__name__, neumeta_service.errors.__name__):
            yield from _errors(child)


def _documented(page: str) -> dict[str, str]:
    """Code -> row, of the tables of a page."""
    return {match[1]: match[0] for match in re.finditer(r"^\| `(\w+)`.*$", (DOCS / page).read_text(), re.MULTILINE)}


def test_every_error_class_has_its_line() -> None:
    rows = _documented("errors.md")
    for error in _errors():
        if error.__name__ == "RefusedRequest":  # Only a parent.
            continue
        assert f"`{error.__name__}`" in rows[error.code], error


def test_every_problem_has_its_line_with_its_status() -> None:
    rows = _documented("errors.md")
    contract = (DOCS / "http-api.md").read_text()
    for code, (status, _) in PROBLEMS.items():
        assert f"| {int(status)} |" in rows[code]
        assert re.search(rf"^\| .*`{code}`.* \| .*{int(status)}.* \|", contract, re.MULTILINE), code
    assert PROBLEMS.keys() <= rows.keys()
