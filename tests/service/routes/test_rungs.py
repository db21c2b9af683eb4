"""Named sizes over HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.serving import JSON, POST, in_process, tier, tiny_app
from tests.service.test_problems import problem
from tests.tiny import save_tiny

pytestmark = pytest.mark.anyio
PLAN = "/v1/models/tiny/plan"
RUNGS: dict[str, dict[str, Any]] = {
    "small": {"compression": 0.5},
    "tiny": {"budget": {"bytes": 5000}},
    "odd": {"widths": {"conv1": 7, "conv2": 3}},
    "other": {"widths": {"conv1": 9, "conv2": 3}},
    "dust": {"compression": 0.9},
    "none": {"budget": {"params": 1}},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_tiny(tmp_path)
    (tmp_path / "tiny" / "rungs.json").write_text(json.dumps(RUNGS))
    return tmp_path


@pytest.fixture
async def client(folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with in_process(tiny_app(folder)) as client:
        yield client


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("rung", ["small", "tiny", "odd"])
async def test_a_rung_is_what_it_stands_for(client: httpx.AsyncClient, rung: str, precision: str) -> None:
    planned = [(await client.post(PLAN, json=selector | {"precision": precision})).json() for selector in (RUNGS[rung], {"rung": rung})]
    assert planned[0]["spec"] == planned[1]["spec"]
    made = await client.post(POST, json=RUNGS[rung] | {"precision": precision}, headers=JSON)
    named = await client.post(POST, json={"rung": rung, "precision": precision}, headers=JSON)
    assert (named.json()["digest"], tier(named)) == (made.json()["digest"], "memory")
    assert named.json()["compression"]["requested"] is None


async def test_a_model_lists_its_rungs(client: httpx.AsyncClient) -> None:
    model = (await client.get("/v1/models/tiny")).json()
    assert (model["rungs"], model["rungs_refused"]) == (RUNGS, None)


async def test_a_rung_that_is_not_there_names_those_that_are(client: httpx.AsyncClient) -> None:
    for path in (POST, PLAN):
        document = problem(await client.post(path, json={"rung": "huge"}), 404, "rung_not_found")
        assert document["rungs"] == list(RUNGS)
        assert "There is no rung 'huge' of 'tiny'; those are: small, tiny, odd" in document["detail"]


async def test_a_model_without_a_file_has_no_rungs(models: Path) -> None:
    async with in_process(tiny_app(models)) as client:
        assert (await client.get("/v1/models/tiny")).json()["rungs"] == {}
        document = problem(await client.post(POST, json={"rung": "small"}), 404, "rung_not_found")
    assert document["rungs"] == []
    assert document["detail"].endswith("those are: none.")


@pytest.mark.parametrize(("rung", "reason"), [("other", "widths.conv1: 9 is not allowed"), ("dust", "compression: 0.9 is not allowed")])
async def test_a_rung_that_does_not_fit_the_version(client: httpx.AsyncClient, rung: str, reason: str) -> None:
    [error] = problem(await client.post(POST, json={"rung": rung}), 422, "invalid_request")["errors"]
    assert (error["field"], error["value"]) == ("rung", rung)
    assert error["expected"].startswith(f"one that version 1 has; it stands for {reason}; expected ")


async def test_a_budget_that_nothing_fits_states_the_smallest(client: httpx.AsyncClient) -> None:
    assert problem(await client.post(POST, json={"rung": "none"}), 422, "budget_impossible")["smallest"]["params"] > 1


@pytest.mark.parametrize("body", [{"rung": 1}, {"rung": ["small"]}, {"rung": "small", "compression": 0.5}, {"rung": None}])
async def test_a_rung_is_a_name_and_the_only_selector(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    problem(await client.post(POST, json=body), 422, "invalid_request")


async def test_jobs_take_rungs(client: httpx.AsyncClient) -> None:
    members = [{"rung": "small"}, {"rung": "tiny", "precision": "fp16"}]
    job = (await client.post("/v1/jobs", json={"model": "tiny", "members": members})).raise_for_status().json()
    plans = [(await client.post(PLAN, json=member)).json() for member in members]
    assert [member["spec_digest"] for member in job["members"]] == [plan["spec_digest"] for plan in plans]
    refused = await client.post("/v1/jobs", json={"model": "tiny", "members": [{"rung": "small"}, {"rung": "dust"}]})
    assert problem(refused, 422, "invalid_request")["errors"][0]["field"] == "members.1.rung"
    problem(await client.post("/v1/jobs", json={"model": "tiny", "members": [{"rung": "huge"}]}), 404, "rung_not_found")


async def test_a_reload_takes_rungs_over_and_keeps_those_before_a_bad_file(client: httpx.AsyncClient, folder: Path) -> None:
    file = folder / "tiny" / "rungs.json"
    file.write_text('{"small": {"compression": 0.75}}')
    await client.post("/v1/admin/reload")
    assert (await client.post(PLAN, json={"rung": "small"})).json()["compression"]["effective"] == 0.75
    file.write_text('{"small": {"compression": 2}}')
    [refused] = (await client.post("/v1/admin/reload")).json()["refused"]
    assert (refused["name"], refused["version"], refused["file"]) == ("tiny", None, "rungs.json")
    model = (await client.get("/v1/models/tiny")).json()
    assert (model["rungs"], model["rungs_refused"]) == ({"small": {"compression": 0.75}}, refused["reason"])
    assert (await client.get("/v1/models/tiny/versions")).json()["aliases_refused"] is None
