"""Jobs over the wire, as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Self, get_args

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from neumeta_service.catalog.aliases import LATEST
from neumeta_service.http.schemas import MaterializeRequest
from neumeta_service.jobs.job import Job, JobState, Member, MemberState, Outcome
from neumeta_service.json_model import JsonModel, Number, Precision, Version
from neumeta_service.orders import Selection

MAX_MEMBERS = 256


class Ladder(JsonModel):
    """Every compression in every precision."""

    compressions: Annotated[list[Number], Field(min_length=1)]
    precisions: list[Precision] = Field(default=["fp32"], min_length=1)


class JobRequest(JsonModel):
    """The selection of up to 256 members of one model: either ``members`` or a ``ladder``."""

    model: Annotated[str, Field(max_length=64)]
    version: Version = LATEST
    """A version's number, an alias, or `latest`: the newest version that is served."""
    members: Annotated[list[MaterializeRequest], Field(min_length=1, max_length=MAX_MEMBERS)] | None = None
    """Each as in a request to materialize."""
    ladder: Ladder | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.members is None) == (self.ladder is None):
            raise PydanticCustomError("one_list", "exactly one of members and ladder")
        if self.ladder is not None and len(self.ladder.compressions) * len(self.ladder.precisions) > MAX_MEMBERS:
            raise PydanticCustomError("too_many", f"a ladder of at most {MAX_MEMBERS} members")
        if any(member.version != LATEST for member in self.members or ()):
            raise PydanticCustomError("version_of_job", "no version in a member: the job has one")
        return self

    def selections(self) -> Iterator[tuple[str, Selection]]:
        """Each selection with its place in this request, in which ``{}`` stands for the name of a field."""
        for index, member in enumerate(self.members or ()):
            yield f"members.{index}.{{}}", member.selection()
        if self.ladder is not None:
            for index, compression in enumerate(self.ladder.compressions):
                for precision in self.ladder.precisions:
                    yield f"ladder.compressions.{index}", Selection(compression=compression, precision=precision)


class MemberProblem(JsonModel):
    """Why a member could not be made; ``code`` is one of the codes of problem documents."""

    code: str
    detail: str


class MemberDocument(JsonModel):
    """A member of a job."""

    compression: float
    """The effective one."""
    precision: str
    spec_digest: str
    state: MemberState
    digest: str | None
    """`sha256:…` of the artifact; null unless the state is `done`."""
    url: str | None
    problem: MemberProblem | None
    """Null unless the state is `failed`."""


class JobSummary(JsonModel):
    """A job without its members."""

    id: str
    url: str
    model: str
    version: int
    state: JobState
    counts: dict[MemberState, int]
    """How many members are in each state."""


class JobDocument(JobSummary):
    """A job."""

    members: list[MemberDocument]
    """In the order in which they are made: that of the request; of a ladder, every precision of one compression after the other."""


class JobList(JsonModel):
    """The jobs that this process remembers, oldest first."""

    jobs: list[JobSummary]


def summary(job: Job) -> JobSummary:
    """A job without its members."""
    counts = {state: job.count(state) for state in get_args(MemberState)}
    return JobSummary(id=job.id, url=f"/v1/jobs/{job.id}", model=job.model, version=job.version, state=job.state, counts=counts)


def document(job: Job) -> JobDocument:
    """A job with its members."""
    members = [_member(member, outcome) for member, outcome in zip(job.members, job.outcomes, strict=True)]
    return JobDocument(**summary(job).model_dump(), members=members)


def _member(member: Member, outcome: Outcome) -> MemberDocument:
    spec = member.order.spec
    return MemberDocument(
        compression=member.compression,
        precision=spec.precision,
        spec_digest=spec.digest,
        state=outcome.state,
        digest=outcome.digest,
        url=None if outcome.digest is None else f"/v1/artifacts/{outcome.digest}",
        problem=None if outcome.problem is None else MemberProblem(code=outcome.problem[0], detail=outcome.problem[1]),
    )
