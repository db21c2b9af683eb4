"""What stands behind an app, made from the settings and put together here alone."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from neumeta_core.device import resolve_device
from neumeta_core.manifold import Manifold

from neumeta_service.access import Access, build_access
from neumeta_service.cache import Cache, DiskCache, MemoryCache, RedisCache
from neumeta_service.cache.stored import Records
from neumeta_service.catalog.admission import admit
from neumeta_service.catalog.catalog import Catalog
from neumeta_service.catalog.reloads import Reloads, watching
from neumeta_service.catalog.repository import Repository
from neumeta_service.catalog.store import Store
from neumeta_service.engine import Engine
from neumeta_service.jobs import Jobs, prewarm
from neumeta_service.profiles import Profiles, ProfileStore
from neumeta_service.selfcheck import Inspector, find_inspector
from neumeta_service.settings import Settings, variable
from neumeta_service.signing.signer import Clock
from neumeta_service.signing.trust import provenance_of, signer_of
from neumeta_service.telemetry.metrics import Metrics
from neumeta_service.telemetry.tracing import TracedMetrics, make_tracer_provider
from neumeta_service.worker import DeviceWorker

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """The collaborators of one app."""

    engine: Engine
    jobs: Jobs
    access: Access
    reloads: Reloads | None
    """None when the catalog does not come from a store."""
    tracers: TracerProvider | None

    @asynccontextmanager
    async def running(self, settings: Settings) -> AsyncIterator[None]:
        """While this lasts the parts work; its end closes them in the order in which they need each other."""
        try:
            async with watching(self.reloads, settings.reload_interval_s):
                await prewarm(self.jobs, self.engine, settings.prewarm or ())
                yield
        finally:
            await self.jobs.aclose()
            await self.engine.aclose()
            await self.access.aclose()
            if self.tracers:
                await asyncio.to_thread(self.tracers.shutdown)


def build_parts(
    settings: Settings, *, catalog: Catalog | None = None, engine: Engine | None = None, cache: Cache | None = None, clock: Clock = time.time
) -> Parts:
    """Make what is not given; see ``create_app``."""
    tracers = make_tracer_provider() if settings.tracing else None
    repository = None
    if engine is None:
        metrics = TracedMetrics(tracers.get_tracer(__name__)) if tracers else Metrics()
        worker = DeviceWorker(metrics, queue_limit=settings.queue_limit)
        inspector = find_inspector(settings.self_check, metrics, share=settings.self_check_share)
        if catalog is None:
            repository = _open_repository(settings, worker, inspector, clock)
            catalog = repository.renew(Catalog())
        shared = cache or _shared_cache(settings, metrics)
        caches = [MemoryCache(settings.cache_bytes, metrics), *([] if shared is None else [shared])]
        profiles = Profiles(ProfileStore(settings.profiles, metrics))
        engine = Engine(catalog, caches, metrics, worker, inspector, profiles=profiles, signer=signer_of(settings, metrics, clock))
        metrics.show_models(catalog.releases, refused=len(catalog.refusals))
    reloads = None if repository is None else Reloads(repository, engine)
    return Parts(engine, Jobs(engine), build_access(settings, engine.metrics), reloads, tracers)


def _open_repository(settings: Settings, worker: DeviceWorker, inspector: Inspector | None, clock: Clock) -> Repository:
    """Manifolds are loaded by the thread that computes: with a second one that does, every product of matrices takes longer."""
    device = str(resolve_device(settings.device))

    def admit_there(name: str, version: int, data: bytes) -> Manifold:
        return worker.run(lambda: admit(name, version, data, device=device, dtype=settings.dtype, inspector=inspector)).result()

    return Repository(Store(settings.models), admit_there, provenance_of(settings, clock))


def _shared_cache(settings: Settings, metrics: Metrics) -> Cache | None:
    """The tier behind memory that the settings choose; None when replicas share nothing."""
    if settings.cache_dir is None and settings.redis_url is None:
        return None
    secret = settings.cache_secret
    if secret is None and settings.signing_key is not None:
        logger.warning("who writes to the shared cache can have wrong bytes signed: %s is not set", variable("cache_secret"))
    records = Records(None if secret is None else secret.get_secret_value().encode())
    if settings.cache_dir is not None:
        return DiskCache(settings.cache_dir, metrics, max_bytes=settings.cache_dir_bytes, ttl_s=settings.cache_dir_ttl_s, records=records)
    assert settings.redis_url is not None
    return RedisCache(
        settings.redis_url.get_secret_value(),
        metrics,
        timeout_s=settings.redis_timeout_s,
        ttl_s=settings.redis_ttl_s,
        max_value_bytes=settings.redis_max_value_bytes,
        records=records,
    )
