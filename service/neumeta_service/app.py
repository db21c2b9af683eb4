"""The app: settings and collaborators in, FastAPI out."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from neumeta_service.cache import Cache
from neumeta_service.catalog.catalog import Catalog
from neumeta_service.engine import Engine
from neumeta_service.http import problems
from neumeta_service.http.head import HeadAsGet
from neumeta_service.http.middleware import BodyLimit, RequestContext
from neumeta_service.http.openapi import ANY_PROBLEM, DescribedApp
from neumeta_service.http.patience import Patience
from neumeta_service.parts import Parts, build_parts
from neumeta_service.routes import admin, artifacts, direct, docs, explorer, health, jobs, models, profiles
from neumeta_service.settings import Settings
from neumeta_service.signing.signer import Clock


def create_app(
    settings: Settings, *, catalog: Catalog | None = None, engine: Engine | None = None, cache: Cache | None = None, clock: Clock = time.time
) -> FastAPI:
    """An app that is ready to serve; what is not given is made from the settings.

    ``cache`` is the tier behind memory, ``clock`` says seconds since 1970 to signatures. An app whose catalog or engine is given has no
    reload. Closing the app closes the engine and its caches. Raises DeviceUnavailable, StoreUnavailable and SettingsError.
    """
    parts = build_parts(settings, catalog=catalog, engine=engine, cache=cache, clock=clock)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with parts.running(settings):
            yield

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
        telemetry={"tracing": bool(parts.tracers), "tracer_provider": parts.tracers, "operation_spans": False, "metrics": False, "logs": False},
    )
    _install_routes(app, parts)
    app.state.is_draining = False
    app.state.patience = Patience(settings.request_timeout_s, retry_after_s=lambda: parts.engine.wait_s)
    return app


def _install_routes(app: FastAPI, parts: Parts) -> None:
    app.state.engine, app.state.jobs = parts.engine, parts.jobs
    models.install(app)
    for router in (models.router, profiles.router, artifacts.router, jobs.router, health.router):
        app.include_router(router)
    explorer.install(app)
    docs.install(app)
    if parts.reloads is not None:
        app.state.reloads = parts.reloads
        app.include_router(admin.router)
    problems.install(app)
    app.add_middleware(HeadAsGet, router=app.router)
    if not parts.tracers:  # FastAPI names spans by the routes that it finds.
        app.add_middleware(direct.Direct, engine=parts.engine)
    app.add_middleware(BodyLimit)
    parts.access.install(app)
    app.add_middleware(RequestContext, metrics=parts.engine.metrics)
