"""Bulk work: many members of one model, made ahead of time."""

from neumeta_service.jobs.board import Jobs, Ticket
from neumeta_service.jobs.job import Job, Member, Outcome
from neumeta_service.jobs.plan import plan, prewarm

__all__ = ["Job", "Jobs", "Member", "Outcome", "Ticket", "plan", "prewarm"]
