"""From selections to jobs: everything that can be refused is refused before a job begins."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace

from neumeta_core.configuration import effective_compression
from neumeta_core.errors import InvalidField

from neumeta_service.catalog.aliases import LATEST
from neumeta_service.catalog.catalog import VersionChoice
from neumeta_service.engine import Engine
from neumeta_service.jobs.board import Jobs
from neumeta_service.jobs.job import Job, Member
from neumeta_service.orders import Selection

logger = logging.getLogger(__name__)


async def plan(engine: Engine, model: str, selections: Iterable[tuple[str, Selection]], *, version: VersionChoice = LATEST) -> Job:
    """A job for the members that selections come to; each selection has its place in the request, for errors.

    Raises ModelNotFound, VersionNotFound, ManifoldRefused, RungNotFound, ProfileNotFound, StoreUnavailable, InvalidField or BudgetImpossible.
    """
    manifold = engine.catalog.manifold(model, version)
    members = []
    for place, selection in selections:
        try:
            # By number: what an alias leads to may change between two members.
            order = await engine.resolve(model, replace(selection, version=manifold.header.version))
        except InvalidField as error:
            raise InvalidField(place.format(error.field), error.value, error.expected) from None
        members.append(Member(order, effective_compression(manifold.architecture, order.spec.widths)))
        # Together they would take milliseconds, in which nobody else has a turn.
        await asyncio.sleep(0)
    return Job(model, manifold.header.version, members)


async def prewarm(jobs: Jobs, engine: Engine, compressions: Sequence[float]) -> None:
    """Add a job for every model that is served: its members at these compressions, in fp32. It goes on in the background."""
    for manifold in engine.catalog:
        header, largest = manifold.header, manifold.architecture.max_compression
        for compression in compressions:
            if compression > largest:
                logger.warning("%s has no member at compression %g to be made at start; its largest is %g", header.name, compression, largest)
        selections = [("{}", Selection(compression=compression)) for compression in compressions if compression <= largest]
        if selections:
            jobs.add(await plan(engine, header.name, selections, version=header.version))
