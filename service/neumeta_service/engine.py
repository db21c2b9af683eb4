"""The data plane: from a selection to bytes. Knows no HTTP.

spec -> caches, fastest first -> one build per key in flight -> the device's worker thread -> caches.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cachetools import LRUCache
from neumeta_core.assembly import artifact_size, assemble
from neumeta_core.errors import AssemblyError, RequestError
from neumeta_core.manifest import JsonObject, filename_of, manifest_of, plan_of
from neumeta_core.manifold import Manifold
from neumeta_core.materialize import to_host
from neumeta_core.spec import Spec

from neumeta_service.cache import Cache, Entry, LeaseHolder, Origin
from neumeta_service.catalog.catalog import Catalog
from neumeta_service.errors import ArtifactGone, NotSigned, RefusedRequest, VersionNotFound
from neumeta_service.flight import Dropped, SingleFlight
from neumeta_service.orders import Order, Resolver, Selection
from neumeta_service.profiles import Profiles, ProfileStore
from neumeta_service.selfcheck import Inspector, Quarantine
from neumeta_service.signing.manifest import WrittenManifest, write_manifest
from neumeta_service.signing.signer import Signer
from neumeta_service.telemetry.metrics import Metrics
from neumeta_service.worker import DeviceWorker

logger = logging.getLogger(__name__)
_DIGEST = re.compile("sha256:[0-9a-f]{64}")
# Manifests are a few kilobytes each.
_MAX_REMEMBERED = 1024


@dataclass(frozen=True)
class Delivery:
    """An artifact and how it was come by."""

    entry: Entry
    tier: str
    """Name of the cache that had it, or ``built``."""
    seconds: Mapping[str, float]
    """Duration of each stage."""


Wait = Callable[[Coroutine[Any, Any, Delivery]], Awaitable[Delivery]]
"""How a caller waits for a delivery that takes long: it may give up, and cancel it, which leaves a build that has begun alone."""


class Engine:
    """Delivers artifacts of the catalog's manifolds; one for each event loop and device.

    ``catalog`` may be replaced by another one at any time; requests go on with the manifold that they found. ``profiles`` are kept in memory
    when they are not given.
    ``caches`` are at least one, fastest first; the first is this process's memory, which never waits. The last one's leases decide which
    replica builds.
    """

    def __init__(
        self,
        catalog: Catalog,
        caches: Sequence[Cache],
        metrics: Metrics,
        worker: DeviceWorker | None = None,
        inspector: Inspector | None = None,
        *,
        profiles: Profiles | None = None,
        signer: Signer | None = None,
    ) -> None:
        self.catalog = catalog
        self.metrics = metrics
        self._caches = caches
        self.profiles = profiles or Profiles(ProfileStore(None, metrics))
        self._resolver = Resolver(self.profiles)
        self._manifests: LRUCache[tuple[str, str], WrittenManifest] = LRUCache(_MAX_REMEMBERED)
        self._flights: SingleFlight[Delivery] = SingleFlight()
        self._lease_holder = LeaseHolder(caches[-1].leases, metrics)
        self._worker = worker or DeviceWorker(metrics)
        self._signer = signer
        self.signs = signer is not None
        self._quarantine = Quarantine(inspector, lambda digest: self.catalog.by_digest(digest), caches)

    async def resolve(self, name: str, selection: Selection) -> Order:
        """The one spec that a selection comes to.

        Raises ModelNotFound, VersionNotFound, ManifoldRefused, RungNotFound, ProfileNotFound, StoreUnavailable, InvalidField or
        BudgetImpossible.
        """
        return await self._resolver.resolve(self.catalog, name, selection)

    def plan(self, order: Order) -> JsonObject:
        """What is known of a member without making it."""
        assert order.manifold is not None  # It was resolved.
        return plan_of(order.manifold, order.spec, artifact_size(order.manifold, order.spec.widths, order.spec.precision))

    @property
    def wait_s(self) -> int:
        """Whole seconds, at least 1, after which the builds that are queued now will probably be done."""
        return self._worker.wait_s

    async def deliver(self, order: Order, wait: Wait | None = None) -> Delivery:
        """The artifact of a spec, from the fastest cache that has it or built.

        Raises AssemblyError when building fails, WeightTooLarge when the precision cannot hold its values, SelfCheckFailed when it was built
        before and does not work, Overloaded when the queue is full, and what ``wait`` raises.
        """
        seconds: dict[str, float] = {}
        memory = self._caches[0]
        with self.metrics.stage("cache", seconds):
            entry = await memory.get(order)
        if entry is not None:
            return Delivery(entry, memory.name, seconds)
        # Nothing to build is nothing that others should wait for, and fail with.
        work = self._fetch(order) if order.manifold is None else self._flights.run(order.key, lambda: self._fetch(order))
        return await (work if wait is None else wait(work))

    async def find(self, digest: str, wait: Wait | None = None) -> Delivery:
        """The artifact of this digest, made again if need be.

        Raises ArtifactGone when it is unknown or came out different, or when no cache has it and it was made in another way than here.
        """
        origin = await self._look_up_origin(digest) if _DIGEST.fullmatch(digest) else None
        if origin is None:
            self._quarantine.refuse_blocked(digest)
            raise ArtifactGone(digest)
        try:
            delivery = await self.deliver(Order(origin.key, origin.spec, self.catalog.by_digest(origin.spec.manifold)), wait)
        except (RequestError, VersionNotFound) as error:
            raise ArtifactGone(digest) from error
        if delivery.entry.digest != digest:
            raise ArtifactGone(digest, origin.spec.model)
        return delivery

    async def verify(self, entry: Entry) -> None:
        """Run an artifact's self-check, where there is one. Raises SelfCheckFailed, and from then on for every request of it."""
        await self._quarantine.verify(entry)

    def manifest(self, entry: Entry, manifold: Manifold, requested: float | None) -> bytes:
        """The manifest of a manifold's artifact as JSON; ``requested`` is the compression that was asked for, if it was one."""
        return self._manifest_of(entry, manifold).as_json(requested)

    def signature(self, entry: Entry) -> bytes:
        """The signed manifest of an artifact as JSON. Raises NotSigned when this service does not sign, ArtifactGone when it serves no such model."""
        if self._signer is None:
            raise NotSigned
        manifold = self.catalog.by_digest(entry.origin.spec.manifold)
        if manifold is None:
            raise ArtifactGone(entry.digest, entry.origin.spec.model)
        signed = self._manifest_of(entry, manifold).signed
        assert signed is not None
        return signed.data

    async def aclose(self) -> None:
        """Finish what is under way, then release the thread and the caches."""
        await self._flights.drain()
        await self._quarantine.aclose()
        await self.profiles.aclose()
        # Not by the event loop: what the thread was given last may take long.
        await asyncio.to_thread(self._worker.shutdown)
        for cache in self._caches:
            await cache.aclose()

    async def _look_up_origin(self, digest: str) -> Origin | None:
        for cache in self._caches:
            origin = await cache.find(digest)
            if origin is not None:
                return origin
        return None

    def _manifest_of(self, entry: Entry, manifold: Manifold) -> WrittenManifest:
        """Written once, and again when its signature is due."""
        key = entry.origin.key, entry.digest
        written: WrittenManifest | None = self._manifests.get(key)
        if written is None or (self._signer and written.signed and not self._signer.is_current(written.signed)):
            manifest = manifest_of(manifold, entry.origin.spec, entry.digest, len(entry.data))
            written = self._manifests[key] = write_manifest(manifest, self._signer)
        return written

    async def _fetch(self, order: Order) -> Delivery:
        """From what is behind memory, or built by the one replica that holds the lease.

        Memory never holds what is blocked, so its answers need no look at the list.
        """
        self._quarantine.refuse_blocked(order.key)
        seconds: dict[str, float] = {}
        delivery = await self._look_up(order, seconds)
        if delivery is not None:
            return delivery
        manifold = _maker_of(order)  # Before the lease, which is for those who can build.
        async with self._lease_holder.hold(order.key, seconds, is_wanted=lambda: self._flights.is_wanted(order.key)) as is_stored:
            delivery = await self._look_up(order, seconds) if is_stored else None
            if delivery is None:
                entry = await self._build(order, manifold, seconds)
                with self.metrics.stage("cache", seconds):
                    await self._keep(entry, self._caches)
                self._quarantine.sample(entry)
                delivery = Delivery(entry, "built", seconds)
        return delivery

    async def _look_up(self, order: Order, seconds: dict[str, float]) -> Delivery | None:
        with self.metrics.stage("cache", seconds):
            for position, cache in enumerate(self._caches[1:], 1):
                entry = await cache.get(order)
                if entry is not None:
                    await self._keep(entry, self._caches[:position])
                    return Delivery(entry, cache.name, seconds)
        return None

    async def _keep(self, entry: Entry, caches: Sequence[Cache]) -> None:
        # It may have been blocked while it was fetched or built again.
        self._quarantine.refuse_blocked(entry.origin.key)
        for cache in caches:
            await cache.put(entry)

    async def _build(self, order: Order, manifold: Manifold, seconds: dict[str, float]) -> Entry:
        spec = order.spec
        try:
            entry = await self._worker.build(
                lambda: self._make(manifold, spec, seconds), seconds, is_wanted=lambda: self._flights.is_wanted(order.key)
            )
        except (RequestError, RefusedRequest, Dropped):
            raise
        except Exception as error:
            logger.exception("building %s failed", spec)
            raise AssemblyError(str(error)) from error
        self.metrics.artifact_bytes.observe(len(entry.data))
        return entry

    def _make(self, manifold: Manifold, spec: Spec, seconds: dict[str, float]) -> Entry:
        """Runs in the worker thread."""
        member = manifold.configure(widths=spec.widths)
        with self.metrics.stage("inr", seconds):
            # Copying waits for the device, so the time lands in the right stage.
            weights = to_host(manifold.materialize(member))
        with self.metrics.stage("onnx", seconds):
            artifact = assemble(manifold, member, weights, spec.precision)
        made = Spec.of(manifold, member, spec.precision)
        filename = filename_of(manifold, made, artifact.digest)
        return Entry(Origin(made.cache_key(manifold.fingerprint), made), artifact.digest, filename, artifact.data)


def _maker_of(order: Order) -> Manifold:
    """The manifold that makes these very bytes. Raises VersionNotFound when there is none here."""
    spec, manifold = order.spec, order.manifold
    # With another PyTorch, builder or number of threads the key was another one, and so most likely were the bytes: caches alone have them.
    if manifold is None or spec.cache_key(manifold.fingerprint) != order.key:
        raise VersionNotFound(spec.model, spec.version)
    return manifold
