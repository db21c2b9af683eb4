"""From a selection to an order: every way to say a size comes to one spec of integers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace

from cachetools import LRUCache
from neumeta_core.budget import Budget
from neumeta_core.errors import InvalidField
from neumeta_core.manifold import Manifold
from neumeta_core.spec import Spec

from neumeta_service.cache import Origin
from neumeta_service.catalog.aliases import LATEST
from neumeta_service.catalog.catalog import Catalog, VersionChoice
from neumeta_service.catalog.rungs import Rung
from neumeta_service.profiles import LatencyLimit, Profiles, solve_within

# Of a few hundred bytes each.
_MAX_REMEMBERED = 1024


@dataclass(frozen=True)
class Selection:
    """What a client asks of a model: a compression, widths, a budget (of cost, of latency or of both) or a rung, a precision and a version."""

    compression: float | None = None
    widths: Mapping[str, int] | None = None
    budget: Budget | None = None
    latency: LatencyLimit | None = None
    rung: str | None = None
    precision: str = "fp32"
    version: VersionChoice = LATEST

    def at(self, rung: Rung) -> Selection:
        """The same with what a rung selects in place of its name."""
        costs, latency = (None, None) if rung.budget is None else (rung.budget.costs(), rung.budget.latency())
        return replace(self, rung=None, compression=rung.compression, widths=rung.widths, budget=costs, latency=latency)


@dataclass(frozen=True)
class Order(Origin):
    """An artifact that is to be delivered, with the manifold that makes it: a reload may withdraw that while a request is under way."""

    manifold: Manifold | None
    """None when it is not served any more; then only caches have the artifact."""


class Resolver:
    """Resolves selections, and remembers what they came to."""

    def __init__(self, profiles: Profiles) -> None:
        self._profiles = profiles
        self._resolved: LRUCache[tuple[str, str], Origin] = LRUCache(_MAX_REMEMBERED)

    async def resolve(self, catalog: Catalog, name: str, selection: Selection) -> Order:
        """The order that a selection comes to; for its errors see ``Engine.resolve``."""
        manifold = catalog.manifold(name, selection.version)
        if selection.rung is None:
            return await self._resolve(manifold, selection)
        try:
            return await self._resolve(manifold, selection.at(catalog.rung(name, selection.rung)))
        except InvalidField as error:
            if error.field == "precision":  # No rung chooses that.
                raise
            reason = str(error).removesuffix(".")
            raise InvalidField("rung", selection.rung, f"one that version {manifold.header.version} has; it stands for {reason}") from error

    async def _resolve(self, manifold: Manifold, selection: Selection) -> Order:
        if selection.latency is not None:
            selection = await self._measured(manifold, selection, selection.latency)
        # By its text: 1, 1.0 and true are equal, but not equally allowed.
        key = manifold.digest, repr(selection)
        origin: Origin | None = self._resolved.get(key)
        if origin is None:
            # The solver sizes several members: milliseconds on large networks.
            origin = await asyncio.to_thread(_origin, manifold, selection) if selection.budget is not None else _origin(manifold, selection)
            self._resolved[key] = origin
        return Order(origin.key, origin.spec, manifold)

    async def _measured(self, manifold: Manifold, selection: Selection, limit: LatencyLimit) -> Selection:
        limit.check()
        profile = await self._profiles.find(manifold, limit.device, selection.precision)
        member = await asyncio.to_thread(solve_within, manifold, profile, limit.ms, budget=selection.budget)
        return replace(selection, budget=None, latency=None, widths=member)


def _origin(manifold: Manifold, selection: Selection) -> Origin:
    member = manifold.configure(selection.compression, selection.widths, selection.budget, precision=selection.precision)
    spec = Spec.of(manifold, member, selection.precision)
    return Origin(spec.cache_key(manifold.fingerprint), spec)
