"""Bulk jobs."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request, Response
from neumeta_core.errors import InvalidField

from neumeta_service.http.deps import DeclaredRoute, EngineDep
from neumeta_service.http.openapi import OF_A_SELECTION, problems
from neumeta_service.jobs import Jobs, Ticket, plan
from neumeta_service.jobs.documents import JobDocument, JobList, JobRequest, document, summary

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
_MAX_KEY_LENGTH = 255


async def _jobs(request: Request) -> Jobs:
    jobs: Jobs = request.scope["app"].state.jobs
    return jobs


JobsDep = Annotated[Jobs, Depends(_jobs)]
KeyHeader = Annotated[str | None, Header(description="Sent again with the same body, it names the same job.")]


async def create_job(wanted: JobRequest, engine: EngineDep, jobs: JobsDep, response: Response, idempotency_key: KeyHeader = None) -> JobDocument:
    """Make up to 256 members ahead of time; the answer's `Location` says how it goes on."""
    ticket = None if idempotency_key is None else _ticket(idempotency_key, wanted)
    job = jobs.known(ticket) or jobs.submit(await plan(engine, wanted.model, wanted.selections(), version=wanted.version), ticket)
    answer = document(job)
    response.headers["location"] = answer.url
    return answer


router.add_api_route(
    "",
    create_job,
    methods=["POST"],
    status_code=HTTPStatus.ACCEPTED,
    route_class_override=DeclaredRoute,
    responses=problems(*OF_A_SELECTION, "idempotency_key_reused", "too_many_jobs"),
)


@router.get("")
async def list_jobs(jobs: JobsDep) -> JobList:
    """The jobs that this process remembers."""
    return JobList(jobs=[summary(job) for job in jobs])


@router.get("/{job_id}", responses=problems("job_not_found"))
async def get_job(job_id: str, jobs: JobsDep) -> JobDocument:
    """How far a job has come."""
    return document(jobs.job(job_id))


@router.delete("/{job_id}", responses=problems("job_not_found"))
async def cancel_job(job_id: str, jobs: JobsDep) -> JobDocument:
    """Leave out what has not begun; a job that has ended stays as it is."""
    job = jobs.job(job_id)
    job.cancel()
    return document(job)


def _ticket(key: str, wanted: JobRequest) -> Ticket:
    if not (1 <= len(key) <= _MAX_KEY_LENGTH and key.isascii() and key.isprintable()):
        raise InvalidField("Idempotency-Key", key, f"1 to {_MAX_KEY_LENGTH} printable ASCII characters")
    return Ticket(key, repr(wanted))
