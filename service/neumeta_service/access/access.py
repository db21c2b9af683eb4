"""What the settings say about access, put together and put before an app."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from fastapi import FastAPI
from limits import RateLimitItem

from neumeta_service.access.authenticator import Authenticator
from neumeta_service.access.jwt import TokenVerifier, read_verifier
from neumeta_service.access.keys import read_key_ring
from neumeta_service.access.limits import RateLimits, limits_in_memory, limits_in_redis
from neumeta_service.access.middleware import AccessControl, RateLimit
from neumeta_service.access.names import OwnNames
from neumeta_service.cache.redis_url import RedisUrl
from neumeta_service.rate import parse_rate
from neumeta_service.settings import Settings, SettingsError
from neumeta_service.telemetry.metrics import Metrics
from neumeta_service.watched import WatchedFiles


class Access:
    """Names, authentication and rate limits, or none of them: what is off costs nothing."""

    def __init__(
        self, authenticator: Authenticator | None, limits: RateLimits | None, rate: RateLimitItem | None, names: Sequence[str] | None = None
    ) -> None:
        self._names = names
        self._authenticator = authenticator
        self._limits = limits
        self._rate = rate

    def install(self, app: FastAPI) -> None:
        """Put it before all that the app has so far."""
        if self._limits is not None:
            app.add_middleware(RateLimit, limits=self._limits, rate=self._rate)
        if self._authenticator is not None:
            app.add_middleware(AccessControl, authenticator=self._authenticator)
        if self._names is not None:
            app.add_middleware(OwnNames, names=self._names)

    async def aclose(self) -> None:
        """Close all connections."""
        if self._limits is not None:
            await self._limits.aclose()


def build_access(settings: Settings, metrics: Metrics) -> Access:
    """What the settings ask for. Raises SettingsError when a file cannot be used."""
    keys = WatchedFiles([settings.api_keys_file], partial(read_key_ring, settings.api_keys_file)) if settings.api_keys_file else None
    tokens = _token_verifier(settings)
    authenticator = Authenticator(keys, tokens) if keys or tokens else None
    rate = parse_rate(settings.rate_limit) if settings.rate_limit else None
    # A key may have a limit of its own, now or when its file is read again.
    limits = _rate_limits(settings, metrics) if rate or keys else None
    return Access(authenticator, limits, rate, settings.allowed_hosts.split(",") if settings.allowed_hosts else None)


def _token_verifier(settings: Settings) -> WatchedFiles[TokenVerifier] | None:
    if settings.jwt_keys_file is None:
        return None
    if settings.jwt_issuer is None or settings.jwt_audience is None:
        raise SettingsError("NEUMETA_JWT_KEYS_FILE needs NEUMETA_JWT_ISSUER and NEUMETA_JWT_AUDIENCE: tokens for others are not for this service.")
    read = partial(read_verifier, settings.jwt_keys_file, issuer=settings.jwt_issuer, audience=settings.jwt_audience)
    return WatchedFiles([settings.jwt_keys_file], read)


def _rate_limits(settings: Settings, metrics: Metrics) -> RateLimits:
    # The library has other clients than ours for Sentinel and Cluster.
    if settings.redis_url is None or RedisUrl.parse(settings.redis_url.get_secret_value()).topology:
        return limits_in_memory(metrics)
    return limits_in_redis(settings.redis_url.get_secret_value(), metrics, timeout_s=settings.redis_timeout_s)
