"""The jobs of this process: what waits, what runs, and the last ones that ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass

from neumeta_core.errors import NeuMetaError

from neumeta_service.engine import Delivery, Engine
from neumeta_service.errors import IdempotencyKeyReused, JobNotFound, Overloaded, TooManyJobs
from neumeta_service.http.problems import explain
from neumeta_service.jobs.job import Job, Member, Outcome
from neumeta_service.telemetry.log import request_id

logger = logging.getLogger(__name__)
MAX_UNFINISHED = 8
MAX_KEPT = 64


@dataclass(frozen=True)
class Ticket:
    """What makes two requests the same one: the key that the client chose, and what it asked for."""

    key: str
    body: str


class Jobs:
    """Runs jobs one after the other and their members one at a time, so that a request never waits for more than one of them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._jobs: dict[str, Job] = {}
        self._tickets: dict[str, tuple[Ticket, Job]] = {}
        self._submitted: set[str] = set()
        self._worker: asyncio.Task[None] | None = None

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs.values())

    def job(self, identity: str) -> Job:
        """The job of this id. Raises JobNotFound."""
        if identity not in self._jobs:
            raise JobNotFound(identity)
        return self._jobs[identity]

    def known(self, ticket: Ticket | None) -> Job | None:
        """The job that this very request has made already. Raises IdempotencyKeyReused when another request has used its key."""
        if ticket is None or ticket.key not in self._tickets:
            return None
        earlier, job = self._tickets[ticket.key]
        if earlier != ticket:
            raise IdempotencyKeyReused(ticket.key)
        return job

    def submit(self, job: Job, ticket: Ticket | None = None) -> Job:
        """Add a job that a client wants, unless its ticket has one. Raises TooManyJobs or IdempotencyKeyReused."""
        # Asked again, because the members were resolved in between.
        known = self.known(ticket)
        if known is not None:
            return known
        # What the operator has made at start takes no client's place.
        if sum(not other.is_finished for other in self if other.id in self._submitted) >= MAX_UNFINISHED:
            raise TooManyJobs(MAX_UNFINISHED)
        self._submitted.add(job.id)
        if ticket is not None:
            self._tickets[ticket.key] = ticket, job
        self.add(job)
        return job

    def add(self, job: Job) -> None:
        """Add a job behind those that wait, and forget the oldest of the finished ones that are too many."""
        self._jobs[job.id] = job
        finished = [other for other in self if other.is_finished]
        for other in finished[: max(0, len(self._jobs) - MAX_KEPT)]:
            del self._jobs[other.id]
        self._submitted &= self._jobs.keys()
        self._tickets = {key: (ticket, kept) for key, (ticket, kept) in self._tickets.items() if kept.id in self._jobs}
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())

    async def aclose(self) -> None:
        """Cancel all that has not begun, and wait for the member that is being made."""
        for job in self:
            job.cancel()
        if self._worker is not None:
            await self._worker

    async def _work(self) -> None:
        while job := next((job for job in self if job.count("waiting")), None):
            # The log lines of the work belong to the job, not to the request that happened to wake the worker.
            request_id.set(job.id)
            for index, member in enumerate(job.members):
                if job.outcomes[index].state == "waiting":
                    job.outcomes[index] = Outcome("running")
                    job.end(index, await self._make(member))
            logger.info("job of %s version %d is %s: %d of %d made", job.model, job.version, job.state, job.count("done"), len(job.members))

    async def _make(self, member: Member) -> Outcome:
        """Deliver an artifact into the caches, and check it."""
        # What memory has is delivered without ever waiting, and then nobody else would have a turn.
        await asyncio.sleep(0)
        try:
            delivery = await self._deliver(member)
            await self._engine.verify(delivery.entry)
        except Exception as error:
            if not isinstance(error, NeuMetaError):
                logger.exception("making %s failed", member.order.spec)
            return Outcome("failed", problem=explain(error))
        return Outcome("done", delivery.entry.digest)

    async def _deliver(self, member: Member) -> Delivery:
        """Give way to requests while they fill the queue."""
        while True:
            try:
                return await self._engine.deliver(member.order)
            except Overloaded as busy:
                await asyncio.sleep(busy.retry_after_s)
