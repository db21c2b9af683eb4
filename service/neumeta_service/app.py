"""The app: settings and collaborators in, FastAPI out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from neumeta_core.device import resolve_device
from neumeta_core.manifold import Manifold

from neumeta_service import problems
from neumeta_service.access import build_access
from neumeta_service.admission import admit
from neumeta_service.cache import Cache, DiskCache, MemoryCache, NoCache, RedisCache
from neumeta_service.catalog import Catalog
from neumeta_service.engine import Engine
from neumeta_service.jobs import Jobs, prewarm
from neumeta_service.metrics import Metrics
from neumeta_service.middleware import BodyLimit, RequestContext
from neumeta_service.openapi import ANY_PROBLEM, DescribedApp
from neumeta_service.patience import Patience
from neumeta_service.reloads import Reloads, watching
from neumeta_service.repository import Repository
from neumeta_service.routes import admin, artifacts, docs, explorer, health, jobs, models
from neumeta_service.selfcheck import Inspector, find_inspector
from neumeta_service.settings import Settings
from neumeta_service.store import Store
from neumeta_service.tracing import TracedMetrics, make_tracer_provider
from neumeta_service.worker import DeviceWorker


def create_app(settings: Settings, *, catalog: Catalog | None = None, engine: Engine | None = None, cache: Cache | None = None) -> FastAPI:
    """An app that is ready to serve; what is not given is made from the settings.

    ``cache`` is the tier behind memory. An app whose catalog or engine is given has no reload. Closing the app closes the engine and
    its caches. Raises DeviceUnavailable, StoreUnavailable and SettingsError.
    """
    tracers = make_tracer_provider() if settings.tracing else None
    metrics = TracedMetrics(tracers.get_tracer(__name__)) if tracers else Metrics()
    worker = DeviceWorker(metrics, queue_limit=settings.queue_limit)
    inspector = find_inspector(settings.self_check, metrics, share=settings.self_check_share)
    repository = _open_repository(settings, worker, inspector) if catalog is None and engine is None else None
    if repository is not None:
        catalog = repository.renew(Catalog())
    engine = engine or _build_engine(settings, Catalog() if catalog is None else catalog, cache, worker, metrics, inspector)
    reloads = None if repository is None else Reloads(repository, engine)
    work = Jobs(engine)
    access = build_access(settings, engine.metrics)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            async with watching(reloads, settings.reload_interval_s):
                await prewarm(work, engine, settings.prewarm or ())
                yield
        finally:
            await work.aclose()
            await engine.aclose()
            await access.aclose()
            if tracers:
                await asyncio.to_thread(tracers.shutdown)

    app = DescribedApp(
        title="NeuMeta",
        version="1",
        responses=ANY_PROBLEM,
        lifespan=lifespan,
        redirect_slashes=False,
        docs_url=None,  # Its page, and that of ReDoc, would load their parts from elsewhere.
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
        # Metrics are Prometheus': FastAPI would look for OpenTelemetry in every request.
        telemetry={"tracing": bool(tracers), "tracer_provider": tracers, "operation_spans": False, "metrics": False, "logs": False},
    )
    app.state.engine, app.state.jobs = engine, work
    app.state.is_draining = False
    app.state.patience = Patience(settings.request_timeout_s, retry_after_s=lambda: engine.wait_s)
    models.install(app)
    for router in (models.router, artifacts.router, jobs.router, health.router):
        app.include_router(router)
    explorer.install(app)
    docs.install(app)
    if reloads is not None:
        app.state.reloads = reloads
        app.include_router(admin.router)
    problems.install(app)
    app.add_middleware(artifacts.ArtifactsFirst, engine=engine)
    app.add_middleware(BodyLimit)
    access.install(app)
    app.add_middleware(RequestContext, metrics=engine.metrics)
    return app


def _open_repository(settings: Settings, worker: DeviceWorker, inspector: Inspector | None) -> Repository:
    """Manifolds are loaded by the thread that computes: with a second one that does, every product of matrices takes longer."""
    device = str(resolve_device(settings.device))

    def admit_there(name: str, version: int, data: bytes) -> Manifold:
        return worker.run(lambda: admit(name, version, data, device=device, dtype=settings.dtype, inspector=inspector)).result()

    return Repository(Store(settings.models), admit_there)


def _build_engine(
    settings: Settings, catalog: Catalog, cache: Cache | None, worker: DeviceWorker, metrics: Metrics, inspector: Inspector | None
) -> Engine:
    memory = MemoryCache(settings.cache_bytes, metrics)
    metrics.show_models(catalog.releases)
    return Engine(catalog, [memory, cache or _shared_cache(settings, metrics)], metrics, worker, inspector)


def _shared_cache(settings: Settings, metrics: Metrics) -> Cache:
    """The tier behind memory that the settings choose."""
    if settings.cache_dir is not None:
        return DiskCache(settings.cache_dir, metrics, max_bytes=settings.cache_dir_bytes, ttl_s=settings.cache_dir_ttl_s)
    if settings.redis_url is None:
        return NoCache()
    return RedisCache(
        settings.redis_url.get_secret_value(),
        metrics,
        timeout_s=settings.redis_timeout_s,
        ttl_s=settings.redis_ttl_s,
        max_value_bytes=settings.redis_max_value_bytes,
    )
