"""The app: settings and collaborators in, FastAPI out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from neumeta_core.device import resolve_device

from neumeta_service import problems
from neumeta_service.cache import Cache, MemoryCache, RedisCache
from neumeta_service.catalog import Catalog, load_catalog
from neumeta_service.engine import Engine, device_worker
from neumeta_service.metrics import Metrics
from neumeta_service.middleware import BodyLimit, RequestContext
from neumeta_service.openapi import ANY_PROBLEM, DescribedApp
from neumeta_service.routes import artifacts, explorer, health, models
from neumeta_service.settings import Settings


def create_app(settings: Settings, *, catalog: Catalog | None = None, engine: Engine | None = None, cache: Cache | None = None) -> FastAPI:
    """An app that is ready to serve; what is not given is made from the settings.

    ``cache`` is the tier behind memory. Closing the app closes the engine and its caches. Raises DeviceUnavailable.
    """
    engine = engine or _build_engine(settings, catalog, cache)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await engine.aclose()

    app = DescribedApp(
        title="NeuMeta",
        version="1",
        responses=ANY_PROBLEM,
        lifespan=lifespan,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
        # Metrics are Prometheus': FastAPI would look for OpenTelemetry in every request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.engine = engine
    models.install(app)
    for router in (models.router, artifacts.router, health.router):
        app.include_router(router)
    explorer.install(app)
    problems.install(app)
    app.add_middleware(artifacts.ArtifactsFirst, engine=engine)
    app.add_middleware(BodyLimit)
    app.add_middleware(RequestContext, metrics=engine.metrics)
    return app


def _build_engine(settings: Settings, catalog: Catalog | None, cache: Cache | None) -> Engine:
    metrics = Metrics()
    worker = device_worker()
    if catalog is None:
        catalog = worker.submit(load_catalog, settings.models, str(resolve_device(settings.device)), settings.dtype).result()
    if cache is None and settings.redis_url is not None:
        cache = RedisCache(
            settings.redis_url.get_secret_value(),
            metrics,
            timeout_s=settings.redis_timeout_s,
            ttl_s=settings.redis_ttl_s,
            max_value_bytes=settings.redis_max_value_bytes,
        )
    memory = MemoryCache(settings.cache_bytes, metrics)
    for manifold in catalog:
        metrics.model_info.labels(manifold.header.name, str(manifold.header.version)).set(1)
    return Engine(catalog, [memory, cache] if cache else [memory], metrics, worker)
