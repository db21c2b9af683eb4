"""Device profiles over HTTP, and sizes that are asked for by them."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from neumeta_core.manifold import Manifold
from neumeta_service.profiles import profiles

from tests.service.serving import JSON, POST, in_process, tier, tiny_app
from tests.service.test_problems import problem
from tests.tiny import save_tiny, tiny_manifold

pytestmark = pytest.mark.anyio
PROFILES = "/v1/models/tiny/profiles"
PI4 = f"{PROFILES}/pi4"
PLAN = "/v1/models/tiny/plan"
POINTS = [{"compression": 0.0, "latency_ms": 8.0}, {"compression": 0.5, "latency_ms": 3.0}, {"compression": 0.75, "latency_ms": 1.0}]
MEASURED: dict[str, Any] = {
    "version": 1,
    "precision": "fp32",
    "metric": "p50",
    "runtime": "a runtime 1.2",
    "threads": 4,
    "batch": 1,
    "points": POINTS,
}


@pytest.fixture
async def client(models: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with in_process(tiny_app(models)) as client:
        yield client


def within(latency_ms: object, device: object = "pi4", **maxima: object) -> dict[str, Any]:
    return {"budget": {"latency_ms": latency_ms, "device": device} | maxima}


async def widths(client: httpx.AsyncClient, selector: dict[str, Any]) -> dict[str, int]:
    planned: dict[str, Any] = (await client.post(PLAN, json=selector)).raise_for_status().json()
    return dict(planned["spec"]["widths"])


async def test_a_profile_is_put_shown_listed_replaced_and_forgotten(client: httpx.AsyncClient) -> None:
    assert (await client.get(PROFILES)).json() == {"profiles": []}
    created = await client.put(PI4, json=MEASURED | {"version": "latest"})
    assert (created.status_code, created.json()) == (201, MEASURED)
    int8 = MEASURED | {"precision": "int8"}
    assert (await client.put(PI4, json=int8)).status_code == 201
    assert (await client.get(PI4)).json() == {"model": "tiny", "device": "pi4", "profiles": [int8, MEASURED]}
    slower = MEASURED | {"points": [{"compression": 0.1, "latency_ms": 9.5}, {"compression": 0.2, "latency_ms": 9}], "metric": "p95"}
    replaced = await client.put(PI4, json=slower)
    assert (replaced.status_code, (await client.get(PI4)).json()["profiles"]) == (200, [slower, int8])
    listed = (await client.get(PROFILES)).json()["profiles"]
    assert listed[0] == {
        "device": "pi4", "version": 1, "precision": "fp32", "metric": "p95", "lowest_ms": 9.0, "highest_ms": 9.5, "url": PI4
    }  # fmt: skip
    assert (await client.delete(PI4)).status_code == 204
    for answer in (await client.get(PI4), await client.delete(PI4)):
        assert "no profile of the device 'pi4'" in problem(answer, 404, "profile_not_found")["detail"]
    assert (await client.get(PROFILES)).json() == {"profiles": []}


@pytest.mark.parametrize(
    ("change", "field", "expected"),
    [
        ({"points": POINTS[:1]}, "points", "at least 2 items"),
        ({"points": [{"compression": index / 300, "latency_ms": 1} for index in range(201)]}, "points", "at most 200 items"),
        ({"points": POINTS[::-1]}, "points", "points of strictly rising compression"),
        ({"points": [POINTS[0], POINTS[0]]}, "points", "points of strictly rising compression"),
        ({"points": [*POINTS, {"compression": 0.76, "latency_ms": 1}]}, "points.3.compression", "a number from 0 to 0.75"),
        ({"points": [{"compression": -0.1, "latency_ms": 1}, *POINTS]}, "points.0.compression", "greater than or equal to 0"),
        ({"points": [{"compression": 0, "latency_ms": 0}, *POINTS[1:]]}, "points.0.latency_ms", "greater than 0"),
        ({"points": [{"compression": 0, "latency_ms": "1"}, *POINTS[1:]]}, "points.0.latency_ms", "a valid number"),
        ({"points": [{"compression": 0, "latency_ms": 1, "x": 1}, *POINTS[1:]]}, "points.0.x", "no field of this name"),
        ({"metric": "mean"}, "metric", "'p50' or 'p95'"),
        ({"precision": "fp64"}, "precision", "'fp32', 'fp16' or 'int8'"),
        ({"threads": 0}, "threads", "greater than or equal to 1"),
        ({"batch": 0}, "batch", "greater than 0"),
        ({"runtime": ""}, "runtime", "at least 1 character"),
        ({"version": 1.0}, "version", "a version's number or an alias"),
        ({"groups": []}, "groups", "no field of this name"),
    ],
)
async def test_what_is_no_profile(client: httpx.AsyncClient, change: dict[str, Any], field: str, expected: str) -> None:
    [error] = problem(await client.put(PI4, json=MEASURED | change), 422, "invalid_request")["errors"]
    assert error["field"] == field
    assert expected in error["expected"]
    problem(await client.get(PI4), 404, "profile_not_found")


@pytest.mark.parametrize(("number", "other"), [("8.0", "NaN"), ("8.0", "Infinity"), ("8.0", "1e999"), ("a runtime 1.2", "\\ud800")])
async def test_numbers_are_finite_and_text_is_text(client: httpx.AsyncClient, number: str, other: str) -> None:
    body = json.dumps(MEASURED).replace(number, other)
    problem(await client.put(PI4, content=body, headers={"content-type": "application/json"}), 422, "invalid_request")


async def test_a_device_is_well_named(client: httpx.AsyncClient) -> None:
    for device in ("Pi4", "12", ".hidden", "x" * 65, "a%00b", "..%5Cx", "p%C3%AF4", "a%0A"):
        [error] = problem(await client.put(f"{PROFILES}/{device}", json=MEASURED), 422, "invalid_request")["errors"]
        assert error["field"] == "device"
        for answer in (await client.get(f"{PROFILES}/{device}"), await client.delete(f"{PROFILES}/{device}")):
            problem(answer, 404, "profile_not_found")
    problem(await client.put(f"{PROFILES}/..%2F..%2Fx", json=MEASURED), 404, "not_found")


async def test_the_model_and_the_version_have_to_be_there(client: httpx.AsyncClient) -> None:
    nobodys = "/v1/models/nobody/profiles"
    for answer in (await client.get(nobodys), await client.get(f"{nobodys}/pi4"), await client.put(f"{nobodys}/pi4", json=MEASURED)):
        problem(answer, 404, "model_not_found")
    problem(await client.delete(f"{nobodys}/pi4"), 404, "model_not_found")
    problem(await client.put(PI4, json=MEASURED | {"version": 2}), 404, "version_not_found")
    problem(await client.put(PI4, content=json.dumps(MEASURED)), 415, "unsupported_media_type")


async def test_only_so_many_devices_have_a_profile(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "MAX_DEVICES", 2)
    for device in ("a1", "a2", "a1"):
        (await client.put(f"{PROFILES}/{device}", json=MEASURED)).raise_for_status()
    assert "2 devices have a profile for 'tiny'" in problem(await client.put(f"{PROFILES}/a3", json=MEASURED), 409, "too_many_profiles")["detail"]
    await client.delete(f"{PROFILES}/a1")
    assert (await client.put(f"{PROFILES}/a3", json=MEASURED)).status_code == 201


async def test_a_latency_gives_the_largest_measured_member_within_it(client: httpx.AsyncClient) -> None:
    await client.put(PI4, json=MEASURED)
    assert await widths(client, within(3.0)) == await widths(client, {"compression": 0.5})
    assert await widths(client, within(1)) == await widths(client, {"compression": 0.75})
    assert await widths(client, within(100)) == await widths(client, {"compression": 0})
    assert await widths(client, within(7.9)) == await widths(client, {"compression": 0.5})


async def test_it_holds_together_with_other_maxima_and_makes_the_same_artifact(client: httpx.AsyncClient) -> None:
    await client.put(PI4, json=MEASURED)
    small = (await client.post(POST, json={"compression": 0.5}, headers=JSON)).json()
    made = await client.post(POST, json=within(100, params=small["cost"]["params"]), headers=JSON)
    assert (made.json()["digest"], tier(made)) == (small["digest"], "memory")
    assert made.json()["compression"]["requested"] is None
    assert await widths(client, within(3.0, macs=10**9, bytes=10**9)) == await widths(client, {"compression": 0.5})


async def test_the_newest_measurement_counts_at_once(client: httpx.AsyncClient) -> None:
    await client.put(PI4, json=MEASURED)
    before = await widths(client, within(3.0))
    await client.put(PI4, json=MEASURED | {"points": [{"compression": 0.0, "latency_ms": 3.0}, {"compression": 0.5, "latency_ms": 2.0}]})
    assert before != await widths(client, within(3.0)) == await widths(client, {"compression": 0})
    await client.delete(PI4)
    problem(await client.post(PLAN, json=within(3.0)), 404, "profile_not_found")


async def test_a_latency_that_nothing_reaches_states_the_lowest(client: httpx.AsyncClient) -> None:
    await client.put(PI4, json=MEASURED | {"points": POINTS[:2]})
    document = problem(await client.post(POST, json=within(2.9)), 422, "budget_impossible")
    smallest = (await client.post(PLAN, json={"compression": 0.5})).json()["cost"]
    assert document["smallest"] == smallest | {"latency_ms": 3.0}
    assert "latency_ms <= 2.9" in document["detail"]


async def test_nothing_larger_than_what_was_measured_is_chosen(client: httpx.AsyncClient) -> None:
    await client.put(PI4, json=MEASURED | {"points": POINTS[1:]})
    assert await widths(client, within(1e9)) == await widths(client, {"compression": 0.5})


@pytest.mark.parametrize(
    ("budget", "field", "expected"),
    [
        ({"latency_ms": 4}, "budget", "latency_ms together with device, or neither"),
        ({"device": "pi4"}, "budget", "latency_ms together with device, or neither"),
        ({"device": "pi4", "params": 9}, "budget", "latency_ms together with device, or neither"),
        ({"latency_ms": 0, "device": "pi4"}, "budget.latency_ms", "a positive number"),
        ({"latency_ms": True, "device": "pi4"}, "budget.latency_ms", "a positive number"),
        ({"latency_ms": "4", "device": "pi4"}, "budget.latency_ms", "a positive number"),
        ({"latency_ms": [4], "device": "pi4"}, "budget.latency_ms", "a number"),
        ({"latency_ms": 4, "device": 4}, "budget.device", "a valid string"),
        ({"latency_ms": 4, "device": "pi4", "params": -1}, "budget.params", "a positive integer"),
    ],
)
async def test_budgets_that_are_not_valid(client: httpx.AsyncClient, budget: dict[str, Any], field: str, expected: str) -> None:
    await client.put(PI4, json=MEASURED)
    [error] = problem(await client.post(POST, json={"budget": budget}), 422, "invalid_request")["errors"]
    assert (error["field"], error["expected"]) == (field, expected)


async def test_another_precision_says_which_there_are(client: httpx.AsyncClient) -> None:
    await client.put(PI4, json=MEASURED)
    await client.put(PI4, json=MEASURED | {"precision": "fp16"})
    document = problem(await client.post(POST, json=within(4) | {"precision": "int8"}), 404, "profile_not_found")
    assert document["precisions"] == ["fp16", "fp32"]
    unknown = problem(await client.post(POST, json=within(4, "nobody")), 404, "profile_not_found")
    assert "precisions" not in unknown
    assert f"GET {PROFILES}" in unknown["detail"]
    problem(await client.post(POST, json=within(4, "../x")), 404, "profile_not_found")


async def test_a_profile_of_another_version_counts_when_its_groups_are_the_same(tmp_path: Path) -> None:
    for version in (1, 2, 3):
        save_tiny(tmp_path, version=version, seed=version)
    other = tiny_manifold(version=4)
    coarse = other.architecture.model_copy(
        update={"groups": (other.architecture.groups[0].model_copy(update={"minimum": 3}), *other.architecture.groups[1:])}
    )
    Manifold(other.header.model_copy(update={"architecture": coarse}), other.inr, other.template, other.canary).save(
        tmp_path / "tiny" / "4" / "manifold.safetensors"
    )

    def always(latency_ms: float, version: int) -> dict[str, Any]:
        return MEASURED | {"version": version, "points": [{"compression": at, "latency_ms": latency_ms} for at in (0, 0.7)]}

    async with in_process(tiny_app(tmp_path)) as client:

        async def lowest(version: int) -> float:
            document = problem(await client.post(POST, json=within(0.001) | {"version": version}), 422, "budget_impossible")
            return float(document["smallest"]["latency_ms"])

        await client.put(PI4, json=always(2.0, 2))
        await client.put(PI4, json=always(1.0, 1))
        assert [await lowest(version) for version in (1, 2, 3)] == [1.0, 2.0, 2.0]
        document = problem(await client.post(POST, json=within(4) | {"version": 4}), 404, "profile_not_found")
        assert "has no profile for 'tiny' version 4: there are profiles of 1, 2, whose channel groups are others" in document["detail"]
        await client.put(PI4, json=always(4.0, 4))
        assert [await lowest(version) for version in (1, 2, 3, 4)] == [1.0, 2.0, 2.0, 4.0]


async def test_jobs_and_rungs_take_latencies(tmp_path: Path) -> None:
    save_tiny(tmp_path)
    (tmp_path / "tiny" / "rungs.json").write_text(json.dumps({"fast": within(3.0)}))
    async with in_process(tiny_app(tmp_path)) as client:
        problem(await client.post(POST, json={"rung": "fast"}), 404, "profile_not_found")
        await client.put(PI4, json=MEASURED)
        half = (await client.post(PLAN, json={"compression": 0.5})).json()["spec_digest"]
        job = (await client.post("/v1/jobs", json={"model": "tiny", "members": [within(3.0), {"rung": "fast"}]})).raise_for_status().json()
        assert [member["spec_digest"] for member in job["members"]] == [half, half]
        refused = await client.post("/v1/jobs", json={"model": "tiny", "members": [within(-1)]})
        assert problem(refused, 422, "invalid_request")["errors"][0]["field"] == "members.0.budget.latency_ms"


async def test_replicas_share_a_folder_and_a_restart_forgets_nothing(models: Path, tmp_path: Path) -> None:
    shared = {"profiles": str(tmp_path / "profiles")}
    async with in_process(tiny_app(models, **shared)) as one, in_process(tiny_app(models, **shared)) as other:
        await one.put(PI4, json=MEASURED)
        assert (await other.get(PI4)).json()["profiles"] == [MEASURED]
        (await other.post(POST, json=within(4))).raise_for_status()
    async with in_process(tiny_app(models, **shared)) as again:
        assert (await again.get(PI4)).json()["profiles"] == [MEASURED]


async def test_without_a_place_each_process_has_its_own(models: Path) -> None:
    async with in_process(tiny_app(models)) as one, in_process(tiny_app(models)) as other:
        await one.put(PI4, json=MEASURED)
        problem(await other.get(PI4), 404, "profile_not_found")


async def test_a_damaged_profile_is_absent_until_it_is_put_again(models: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with in_process(tiny_app(models, profiles=str(tmp_path))) as client:
        await client.put(PI4, json=MEASURED)
        (tmp_path / "tiny" / "pi4.json").write_text("[{")
        with caplog.at_level(logging.ERROR):
            problem(await client.post(POST, json=within(4)), 404, "profile_not_found")
        assert "the profile of tiny on pi4 is damaged" in caplog.text
        assert "neumeta_damaged_profiles_total 1.0" in (await client.get("/metrics")).text
        assert (await client.get(PROFILES)).json() == {"profiles": []}
        assert (await client.put(PI4, json=MEASURED)).status_code == 201
        (await client.post(POST, json=within(4))).raise_for_status()


async def test_a_place_that_has_gone_fails_what_needs_it_alone(models: Path, tmp_path: Path) -> None:
    async with in_process(tiny_app(models, profiles=str(tmp_path / "profiles"))) as client:
        (tmp_path / "profiles").rmdir()
        (tmp_path / "profiles").write_text("no folder")
        for answer in (await client.put(PI4, json=MEASURED), await client.post(POST, json=within(4))):
            assert str(tmp_path) not in problem(answer, 503, "store_unavailable")["detail"]
        (await client.post(POST, json={"compression": 0.5})).raise_for_status()


async def test_only_the_newest_profiles_of_a_device_are_kept(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "MAX_KEPT", 2)
    for precision in ("fp32", "fp16", "int8"):
        await client.put(PI4, json=MEASURED | {"precision": precision})
    assert [kept["precision"] for kept in (await client.get(PI4)).json()["profiles"]] == ["int8", "fp16"]
