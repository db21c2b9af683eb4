"""Bulk jobs, over a real socket."""

from __future__ import annotations

import gc
import shutil
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from fastapi import FastAPI
from neumeta_core.precision import PRECISIONS
from neumeta_service.errors import TooManyJobs
from neumeta_service.jobs import Jobs, plan, prewarm
from neumeta_service.jobs.board import MAX_KEPT, MAX_UNFINISHED
from neumeta_service.jobs.documents import MAX_MEMBERS, JobDocument, JobList, document
from neumeta_service.orders import Selection

from tests.service.redis_server import RedisServer
from tests.service.selfcheck.judged import SHARED, judged_manifold, save
from tests.service.serving import POST, CountedManifold, HeavyManifold, live, tier, tiny_app, wait_for
from tests.service.test_reloads import serving
from tests.tiny import save_tiny

LADDER = {"model": "tiny", "ladder": {"compressions": [0, 0.5], "precisions": list(PRECISIONS)}}
ONE = {"model": "tiny", "ladder": {"compressions": [0.25]}}


@pytest.fixture
def app(models: Path, manifold: CountedManifold) -> FastAPI:
    return tiny_app(models, manifold)


@pytest.fixture
def client(app: FastAPI, manifold: CountedManifold) -> Iterator[httpx.Client]:
    with live(app) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield client
        manifold.gate.set()


def submit(client: httpx.Client, body: dict[str, Any], **headers: str) -> dict[str, Any]:
    response = client.post("/v1/jobs", json=body, headers=headers)
    assert response.status_code == 202, response.text
    job: dict[str, Any] = JobDocument.model_validate(response.json()).model_dump()
    assert response.headers["location"] == job["url"] == f"/v1/jobs/{job['id']}"
    return job


def read(client: httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = client.get(job["url"]).json()
    return found


def ended(client: httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    wait_for(lambda: read(client, job)["state"] not in ("queued", "running"))
    return read(client, job)


def refused(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    problem: dict[str, Any] = response.json()
    assert (response.status_code, problem["code"]) == (status, code)
    return problem


def test_a_ladder_is_made_ahead_of_time(client: httpx.Client, manifold: CountedManifold) -> None:
    job = ended(client, submit(client, LADDER))
    assert job["state"] == "done"
    assert job["counts"] == {"waiting": 0, "running": 0, "done": 6, "failed": 0, "cancelled": 0}
    assert [(member["compression"], member["precision"]) for member in job["members"]] == [(c, p) for c in (0, 0.5) for p in PRECISIONS]
    for member in job["members"]:
        answer = client.post(POST, json={"compression": member["compression"], "precision": member["precision"]})
        assert tier(answer) == "memory"
        assert answer.headers["etag"] == f'"{member["digest"]}"'
        assert client.get(member["url"]).content == answer.content
    assert manifold.builds == 6


def test_members_are_named_in_every_way(client: httpx.Client) -> None:
    members = [{"compression": 0.75}, {"widths": {"conv1": 5, "conv2": 7}, "precision": "fp16"}, {"budget": {"bytes": 4000}}]
    job = ended(client, submit(client, {"model": "tiny", "version": 1, "members": members}))
    assert job["state"] == "done"
    for wanted, made in zip(members, job["members"], strict=True):
        answer = client.post(POST, json=wanted, headers={"accept": "application/json"})
        assert (tier(answer), answer.json()["digest"], answer.json()["spec_digest"]) == ("memory", made["digest"], made["spec_digest"])


def test_they_land_in_the_cache_that_replicas_share(models: Path, redis_server: RedisServer) -> None:
    with live(tiny_app(models, redis_url=redis_server.url)) as url, httpx.Client(base_url=url) as client:
        ended(client, submit(client, ONE))
    with live(tiny_app(models, redis_url=redis_server.url)) as url:
        assert tier(httpx.post(f"{url}{POST}", json={"compression": 0.25})) == "redis"


def test_a_member_that_fails_does_not_stop_the_others(tmp_path: Path) -> None:
    save(judged_manifold(claims={SHARED: 1.0}), tmp_path)
    app = tiny_app(tmp_path, self_check_share=0)
    with live(app) as url, httpx.Client(base_url=url) as client:
        job = ended(client, submit(client, {"model": "tiny", "ladder": {"compressions": [0, SHARED, 0.75]}}))
        assert job["state"] == "failed"
        assert [member["state"] for member in job["members"]] == ["done", "failed", "done"]
        failed = job["members"][1]
        assert (failed["digest"], failed["url"], failed["problem"]["code"]) == (None, None, "self_check_failed")
        problem = refused(client.post(POST, json={"compression": SHARED}), 500, "self_check_failed")
        assert problem["detail"] == failed["problem"]["detail"]
    count = app.state.engine.metrics.registry.get_sample_value
    assert [count("neumeta_self_check_total", {"result": result}) for result in ("passed", "failed")] == [6 + 2, 1], "every member is checked"


def test_what_was_cached_is_checked_too(tmp_path: Path) -> None:
    save(judged_manifold(claims={SHARED: 1.0}), tmp_path)
    with live(tiny_app(tmp_path, self_check_share=0)) as url, httpx.Client(base_url=url) as client:
        assert client.post(POST, json={"compression": SHARED}).status_code == 200
        assert ended(client, submit(client, {"model": "tiny", "ladder": {"compressions": [SHARED]}}))["state"] == "failed"
        refused(client.post(POST, json={"compression": SHARED}), 500, "self_check_failed")


class Failing(CountedManifold):
    def materialize(self, member: object) -> Any:
        raise RuntimeError(f"a secret of the machine {member}")


def test_a_fault_of_the_service_says_no_more_than_its_code(models: Path) -> None:
    manifold = Failing.load(models / "tiny" / "1" / "manifold.safetensors")
    with live(tiny_app(models, manifold)) as url, httpx.Client(base_url=url) as client:
        (member,) = ended(client, submit(client, ONE))["members"]
        assert member["problem"]["code"] == "build_failed"
        assert "secret" not in str(member)


def test_a_member_that_its_precision_cannot_hold_says_so(models: Path) -> None:
    manifold = HeavyManifold.load(models / "tiny" / "1" / "manifold.safetensors")
    with live(tiny_app(models, manifold)) as url, httpx.Client(base_url=url) as client:
        problems = [member["problem"] for member in ended(client, submit(client, LADDER))["members"]]
    assert [problem and problem["code"] for problem in problems] == [None, "invalid_request", None] * 2
    assert "precision: 'fp16' is not allowed" in problems[1]["detail"]


def test_members_are_made_one_at_a_time_and_requests_go_between(client: httpx.Client, manifold: CountedManifold) -> None:
    manifold.gate.clear()
    job = submit(client, LADDER)
    manifold.started.wait(60)
    assert read(client, job)["counts"] == {"waiting": 5, "running": 1, "done": 0, "failed": 0, "cancelled": 0}
    assert client.get("/livez").status_code == 200
    assert "neumeta_queue_depth 1.0" in client.get("/metrics").text
    manifold.gate.set()
    ended(client, job)


def test_cancelling_leaves_out_what_has_not_begun(client: httpx.Client, manifold: CountedManifold) -> None:
    manifold.gate.clear()
    job, behind = submit(client, LADDER), submit(client, ONE)
    manifold.started.wait(60)
    assert [read(client, each)["state"] for each in (job, behind)] == ["running", "queued"]
    assert client.delete(behind["url"]).json()["state"] == "cancelled"
    for _ in range(2):
        cancelled = client.delete(job["url"]).json()
        assert cancelled["state"] == "running"
        assert cancelled["counts"] == {"waiting": 0, "running": 1, "done": 0, "failed": 0, "cancelled": 5}
    manifold.gate.set()
    assert ended(client, job)["counts"] == {"waiting": 0, "running": 0, "done": 1, "failed": 0, "cancelled": 5}
    assert client.delete(job["url"]).json()["state"] == "cancelled"
    assert ended(client, submit(client, ONE))["state"] == "done", "others go on"
    assert client.delete(submit(client, ONE)["url"]).status_code == 200
    assert manifold.builds <= 3


def test_a_job_that_has_ended_stays_as_it_is(client: httpx.Client) -> None:
    job = ended(client, submit(client, ONE))
    assert client.delete(job["url"]).json() == job


def test_shutting_down_finishes_the_member_and_cancels_the_rest(app: FastAPI, manifold: CountedManifold) -> None:
    def open_when_cancelled() -> None:
        wait_for(lambda: next(iter(app.state.jobs)).count("cancelled") == 5)
        manifold.gate.set()

    manifold.gate.clear()
    with ThreadPoolExecutor(1) as aside:
        with live(app) as url, httpx.Client(base_url=url) as client:
            submit(client, LADDER)
            manifold.started.wait(60)
            opened = aside.submit(open_when_cancelled)
        opened.result()
    (job,) = app.state.jobs
    assert (job.state, job.count("done"), manifold.builds) == ("cancelled", 1, 1)


@pytest.mark.anyio
async def test_a_job_that_has_ended_keeps_no_manifold_in_memory(tmp_path: Path) -> None:
    save_tiny(tmp_path)
    async with serving(tmp_path) as at:
        jobs = Jobs(at.engine)
        at.manifold(1).gate.clear()
        await prewarm(jobs, at.engine, [0, 0.5])
        await anyio.to_thread.run_sync(at.manifold(1).started.wait)
        (job,) = jobs
        job.cancel()
        at.manifold(1).gate.set()
        await jobs.aclose()
        withdrawn = weakref.ref(at.manifold(1))
        shutil.rmtree(tmp_path / "tiny")
        await at.reloads.run()
        gc.collect()
        assert withdrawn() is None
        told = [(member.compression, member.precision, member.state) for member in document(job).members]
        assert told == [(0, "fp32", "done"), (0.5, "fp32", "cancelled")]


@pytest.mark.anyio
async def test_what_is_made_at_start_takes_no_clients_place(tmp_path: Path) -> None:
    save_tiny(tmp_path)
    async with serving(tmp_path) as at:
        jobs = Jobs(at.engine)
        at.manifold(1).gate.clear()
        for _ in range(MAX_UNFINISHED):
            await prewarm(jobs, at.engine, [0])
        selections = [("{}", Selection(compression=0.5))]
        for _ in range(MAX_UNFINISHED):
            jobs.submit(await plan(at.engine, "tiny", selections))
        with pytest.raises(TooManyJobs):
            jobs.submit(await plan(at.engine, "tiny", selections))
        at.manifold(1).gate.set()
        await jobs.aclose()


def test_jobs_are_listed_and_the_oldest_finished_ones_forgotten(client: httpx.Client, app: FastAPI) -> None:
    jobs = [ended(client, submit(client, ONE)) for _ in range(MAX_KEPT + 2)]
    listed = JobList.model_validate(client.get("/v1/jobs").json()).jobs
    assert [job.id for job in listed] == [job["id"] for job in jobs[2:]]
    refused(client.get(jobs[0]["url"]), 404, "job_not_found")
    refused(client.delete("/v1/jobs/none"), 404, "job_not_found")
    assert app.state.engine.metrics.registry.get_sample_value("neumeta_artifact_bytes_count") == 1


def test_only_so_many_jobs_may_wait(client: httpx.Client, manifold: CountedManifold) -> None:
    manifold.gate.clear()
    jobs = [submit(client, ONE) for _ in range(MAX_UNFINISHED)]
    refused(client.post("/v1/jobs", json=ONE), 503, "too_many_jobs")
    client.delete(jobs[-1]["url"])
    submit(client, ONE)
    refused(client.post("/v1/jobs", json=ONE), 503, "too_many_jobs")
    manifold.gate.set()
    for job in jobs:
        ended(client, job)
    submit(client, ONE)


def test_an_idempotency_key_names_one_job(client: httpx.Client, manifold: CountedManifold) -> None:
    key = '"8e03978e-40d5-43dd-bc93-6894a57f9324"'
    job = submit(client, ONE, **{"Idempotency-Key": key})
    assert submit(client, ONE, **{"Idempotency-Key": key})["id"] == job["id"]
    assert submit(client, ONE, **{"Idempotency-Key": "another"})["id"] != job["id"]
    assert submit(client, ONE)["id"] != submit(client, ONE)["id"]
    response = client.post("/v1/jobs", json=LADDER, headers={"Idempotency-Key": key})
    assert key in refused(response, 422, "idempotency_key_reused")["detail"]
    ended(client, job)
    assert submit(client, ONE, **{"Idempotency-Key": key})["state"] == "done"
    assert manifold.builds == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "\u00e4"])
def test_a_key_that_is_none(client: httpx.Client, key: str) -> None:
    problem = refused(client.post("/v1/jobs", json=ONE, headers={"Idempotency-Key": key.encode("latin-1")}), 422, "invalid_request")
    assert problem["errors"][0]["field"] == "Idempotency-Key"


@pytest.mark.parametrize(
    ("change", "field", "expected"),
    [
        ({"ladder": {"compressions": [0.5, 0.8]}}, "ladder.compressions.1", "a number from 0 to 0.75"),
        ({"ladder": {"compressions": ["half"]}}, "ladder.compressions.0", "a number from 0 to 0.75"),
        ({"ladder": {"compressions": [[0.5]]}}, "ladder.compressions.0", "a number"),
        ({"ladder": {"compressions": [0.5], "precisions": ["int4"]}}, "ladder.precisions.0", "'fp32', 'fp16' or 'int8'"),
        ({"ladder": {"compressions": []}}, "ladder.compressions", "at least 1 item"),
        ({"ladder": {"compressions": [0.5], "precisions": []}}, "ladder.precisions", "at least 1 item"),
        ({"ladder": {"compressions": [0.5] * 86, "precisions": list(PRECISIONS)}}, "body", f"a ladder of at most {MAX_MEMBERS} members"),
        ({"members": [{"compression": 0.5}, {"widths": {"conv1": 9, "conv2": 3}}]}, "members.1.widths.conv1", "an integer from 2 to 8"),
        ({"members": [{"compression": 0.5, "budget": {"params": 9}}]}, "members.0", "exactly one of compression, widths, budget and rung"),
        ({"members": [{"budget": {}}]}, "members.0.budget", "at least one of params, macs, bytes and latency_ms with device"),
        ({"members": []}, "members", "at least 1 item"),
        ({"members": [{"compression": 0}] * (MAX_MEMBERS + 1)}, "members", f"at most {MAX_MEMBERS} items"),
        ({}, "body", "exactly one of members and ladder"),
        ({"ladder": {"compressions": [0]}, "members": [{"compression": 0}]}, "body", "exactly one of members and ladder"),
        ({"ladder": {"compressions": [0]}, "version": [1]}, "version", "a version's number or an alias"),
        ({"members": [{"compression": 0, "version": 1}]}, "body", "no version in a member: the job has one"),
        ({"ladder": {"compressions": [0]}, "colour": 1}, "colour", "no field of this name"),
    ],
)
def test_a_job_that_cannot_be_is_refused_at_once(client: httpx.Client, change: dict[str, Any], field: str, expected: str) -> None:
    problem = refused(client.post("/v1/jobs", json={"model": "tiny"} | change), 422, "invalid_request")
    assert problem["errors"][0]["field"] == field
    assert expected in problem["errors"][0]["expected"]
    assert client.get("/v1/jobs").json() == {"jobs": []}


def test_other_refusals(client: httpx.Client) -> None:
    refused(client.post("/v1/jobs", json=ONE | {"model": "nobody"}), 404, "model_not_found")
    refused(client.post("/v1/jobs", json=ONE | {"version": 7}), 404, "version_not_found")
    refused(client.post("/v1/jobs", json={"model": "tiny", "members": [{"budget": {"params": 1}}]}), 422, "budget_impossible")
    refused(client.post("/v1/jobs", content=b"{", headers={"content-type": "application/json"}), 400, "malformed_body")
    refused(client.post("/v1/jobs", content=b'{"model": "tiny"}', headers={"content-type": "text/plain"}), 415, "unsupported_media_type")
    refused(client.post("/v1/jobs", json=ONE | {"model": "x" * 20_000}), 413, "body_too_large")
    refused(client.put("/v1/jobs", json=ONE), 405, "method_not_allowed")
