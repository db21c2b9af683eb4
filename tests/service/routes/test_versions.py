"""Versions, aliases and reloads over HTTP."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from neumeta_core.manifold import Manifold
from neumeta_service.telemetry.log_format import JsonFormatter

from tests.service.serving import JSON, POST, in_process, tiny_app
from tests.tiny import save_tiny

pytestmark = pytest.mark.anyio


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Versions 1 to 3, of which the newest is garbage, and aliases."""
    for version in (1, 2, 3):
        save_tiny(tmp_path, version=version, seed=version)
    (tmp_path / "tiny" / "3" / "manifold.safetensors").write_bytes(b"garbage")
    (tmp_path / "tiny" / "aliases.json").write_text('{"stable": 1}')
    return tmp_path


@pytest.fixture
async def client(folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with in_process(tiny_app(folder)) as client:
        yield client


def digest(folder: Path, version: int) -> str:
    return Manifold.load(folder / "tiny" / str(version) / "manifold.safetensors").digest


@pytest.mark.parametrize(("selector", "version"), [({}, 2), ({"version": "latest"}, 2), ({"version": 1}, 1), ({"version": "stable"}, 1)])
async def test_materialize_takes_a_version(client: httpx.AsyncClient, folder: Path, selector: dict[str, Any], version: int) -> None:
    manifest = (await client.post(POST, json={"compression": 0.5} | selector, headers=JSON)).raise_for_status().json()
    assert (manifest["version"], manifest["spec"]["version"], manifest["spec"]["manifold"]) == (version, version, digest(folder, version))
    assert (await client.get(manifest["url"])).status_code == 200


@pytest.mark.parametrize(("query", "version"), [("", 2), ("?version=latest", 2), ("?version=1", 1), ("?version=stable", 1)])
async def test_model_and_curve_take_a_version(client: httpx.AsyncClient, query: str, version: int) -> None:
    model = (await client.get(f"/v1/models/tiny{query}")).raise_for_status().json()
    assert model["version"] == version
    for path in (f"/v1/models/tiny/curve{query}", model["curve_url"]):
        assert (await client.get(path)).json()["version"] == version


@pytest.mark.parametrize(
    ("selector", "status", "code"),
    [
        (4, 404, "version_not_found"),
        (-1, 404, "version_not_found"),
        ("beta", 404, "version_not_found"),
        ("../1", 404, "version_not_found"),
        ("x" * 10_000, 404, "version_not_found"),
        (3, 503, "model_refused"),
        (True, 422, "invalid_request"),
        (1.0, 422, "invalid_request"),
        (None, 422, "invalid_request"),
        ([1], 422, "invalid_request"),
    ],
)
async def test_versions_that_cannot_be_had(client: httpx.AsyncClient, selector: object, status: int, code: str) -> None:
    answer = await client.post(POST, json={"compression": 0.5, "version": selector})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    if status == 422:
        assert answer.json()["errors"][0]["expected"] == "a version's number or an alias"
    elif isinstance(selector, int | str):
        for path in ("/v1/models/tiny", "/v1/models/tiny/curve"):
            assert (await client.get(path, params={"version": selector})).json()["code"] == code


async def test_list_of_versions(client: httpx.AsyncClient, folder: Path) -> None:
    listed = (await client.get("/v1/models/tiny/versions")).json()
    assert (listed["name"], listed["aliases"], listed["aliases_refused"]) == ("tiny", {"latest": 2, "stable": 1}, None)
    assert listed["versions"] == (await client.get("/v1/models")).json()["models"]
    assert [(version["version"], version["state"], version["aliases"]) for version in listed["versions"]] == [
        (1, "ready", ["stable"]),
        (2, "ready", ["latest"]),
        (3, "refused", []),
    ]
    assert listed["versions"][0]["digest"] == digest(folder, 1)
    assert (await client.get(listed["versions"][0]["url"])).json()["version"] == 1
    unknown = await client.get("/v1/models/nobody/versions")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "model_not_found")


async def test_a_reload_says_what_it_did(client: httpx.AsyncClient, folder: Path) -> None:
    save_tiny(folder, version=3, seed=3)
    save_tiny(folder, version=2, seed=9)
    shutil.rmtree(folder / "tiny" / "1")
    answer = (await client.post("/v1/admin/reload")).raise_for_status().json()
    assert (answer["added"], answer["withdrawn"]) == ([{"name": "tiny", "version": 3}], [{"name": "tiny", "version": 1}])
    version, aliases = answer["refused"]
    assert (version["version"], aliases["version"]) == (2, None)
    assert "immutable" in version["reason"]
    assert aliases["reason"] == "stable: 1 is not a version that is served; those are: 2, 3."
    listed = (await client.get("/v1/models/tiny/versions")).json()
    assert (listed["aliases"], listed["aliases_refused"]) == ({"latest": 3}, aliases["reason"])
    assert [(row["version"], row["state"], row["reason"]) for row in listed["versions"]] == [(2, "ready", version["reason"]), (3, "ready", None)]
    assert (await client.post(POST, json={"compression": 0.5, "version": 2})).status_code == 200, "the loaded one goes on"


async def test_a_reload_that_cannot_look_changes_nothing(client: httpx.AsyncClient, folder: Path) -> None:
    folder.rename(folder.with_name("away"))
    answer = await client.post("/v1/admin/reload")
    assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
    assert str(folder) not in answer.text
    assert (await client.post(POST, json={"compression": 0.5})).status_code == 200


async def test_the_first_model_makes_it_ready(tmp_path: Path) -> None:
    async with in_process(tiny_app(tmp_path)) as client:
        assert (await client.get("/readyz")).status_code == 503
        save_tiny(tmp_path)
        await client.post("/v1/admin/reload")
        assert (await client.get("/readyz")).status_code == 200


async def test_what_a_reload_logs_has_the_id_of_its_request(client: httpx.AsyncClient, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.rmtree(folder / "tiny" / "2")
    # Formatted where it is logged, as the service's own handler does.
    caplog.handler.setFormatter(JsonFormatter())
    with caplog.at_level("INFO"):
        await client.post("/v1/admin/reload", headers={"x-request-id": "one"})
    lines = [json.loads(line) for line in caplog.text.splitlines()]
    assert [line["request_id"] for line in lines if line["message"] == "tiny version 2 is withdrawn"] == ["one"]
