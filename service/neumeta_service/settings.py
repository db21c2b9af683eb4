"""Settings of the service: environment variables with the prefix ``NEUMETA_``, read once at start."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal

from neumeta_core.validation import complaint
from pydantic import (
    Field,
    FilePath,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from neumeta_service.cache.redis_url import RedisUrl
from neumeta_service.location import check_location
from neumeta_service.rate import parse_rate

PREFIX = "NEUMETA_"
_MIN_SECRET = 32
_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?")


class SettingsError(Exception):
    """The environment does not make valid settings; the message is a sentence for the operator."""


class Settings(BaseSettings):
    """Everything that an operator can choose. Use ``load_settings`` to read the environment with readable errors."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True, validate_default=True, use_attribute_docstrings=True
    )

    host: str = "127.0.0.1"
    """Address to listen on. Another than loopback needs keys (`NEUMETA_API_KEYS_FILE`, `NEUMETA_JWT_KEYS_FILE`) or `NEUMETA_ALLOW_ANONYMOUS`."""
    port: int = Field(default=8080, ge=0, le=65535)
    """TCP port to listen on; 0 takes a free one."""
    models: str = "models"
    """Folder with `NAME/VERSION/manifold.safetensors`, or its fsspec URL, such as `s3://bucket/models` where the backend is installed."""
    profiles: str | None = None
    """Folder for device profiles, made when it is missing, or its fsspec URL; replicas share it, and it survives restarts. Without it each process
    keeps them in its memory, for itself and until it ends."""
    reload_interval_s: NonNegativeFloat = 0
    """Seconds between two looks for new, changed and withdrawn versions; 0 never looks, and `POST /v1/admin/reload` does."""
    device: str = "auto"
    """Where weights are generated: `auto` (CUDA when there is one), `cpu`, `cuda` or `cuda:N`."""
    dtype: Literal["auto", "fp32", "bf16"] = "fp32"
    """Number type of large matrix products while weights are generated, which only kind `mlp` has: `fp32`, `bf16`, or `auto`, which is bf16 where
    the device multiplies it natively. Qualities are measured with weights made in fp32."""
    cache_bytes: NonNegativeInt = 256 * 1024 * 1024
    """Size of the artifact cache in memory, in bytes; 0 keeps nothing."""
    cache_dir: Path | None = None
    """Folder on a disk of this host that keeps artifacts over restarts and for all processes of the host; made when it is missing. It and Redis
    are alternatives: setting both stops the start."""
    cache_dir_bytes: NonNegativeInt = 4 * 1024 * 1024 * 1024
    """Size of the artifacts in that folder, in bytes; beyond it those go that were not used for the longest time."""
    cache_dir_ttl_s: PositiveInt = 7 * 24 * 3600
    """Lifetime of an artifact in that folder, in seconds, give or take a tenth."""
    redis_url: SecretStr | None = None
    """URL of a Redis that replicas share: `redis://`, `rediss://` (TLS) or `unix://`, and `redis+sentinel://`, `redis+cluster://` and both with
    `rediss` for Sentinel and Cluster."""
    redis_timeout_s: PositiveFloat = 0.25
    """Longest wait for one Redis operation, in seconds; after it the request goes on without Redis."""
    redis_ttl_s: PositiveInt = 7 * 24 * 3600
    """Lifetime of an artifact in Redis, in seconds, give or take a tenth."""
    redis_max_value_bytes: NonNegativeInt = 32 * 1024 * 1024
    """Larger artifacts are not stored in Redis, in bytes."""
    cache_secret: SecretStr | None = None
    """Secret of all that share this Redis or folder, 32 characters or more: with it only what was written with it is taken from there."""
    queue_limit: PositiveInt = 64
    """Most builds that wait for the device or run on it at once; a request that needs one more is answered with 503 and `Retry-After`."""
    request_timeout_s: PositiveFloat = 30
    """Longest wait of a request for its artifact, in seconds; after it the answer is 504. A client may ask for less: `Request-Timeout`."""
    drain_s: NonNegativeFloat = 0
    """How long requests are still answered after SIGTERM while `/readyz` says 503, so that load balancers notice, in seconds."""
    shutdown_s: PositiveInt = 10
    """Longest wait for requests in flight, after that grace, before the process ends, in seconds."""
    tracing: bool = False
    """Whether OpenTelemetry spans are sent, where the standard `OTEL_*` variables say; needs the extra `otel`."""
    self_check: Literal["auto", "required", "off"] = "auto"
    """Whether artifacts are run in onnxruntime before they are trusted: `auto` (when it is installed), `required` (without it the service does not
    start) or `off`."""
    self_check_share: float = Field(default=0.01, ge=0, le=1)
    """Share of the builds for requests that are checked afterwards, in the background: 0 to 1, chosen by the cache key."""
    prewarm: Annotated[tuple[Annotated[float, Field(ge=0, lt=1)], ...], NoDecode] | None = None
    """Compressions of which the members of every model are made at start, in the background and in fp32, with commas between: `0,0.5,0.75`."""
    api_keys_file: Path | None = None
    """JSON file of API keys, which `neumeta-service api-keys` makes; with it every request but health and documentation needs a token."""
    jwt_keys_file: Path | None = None
    """JWK Set (RFC 7517) with the public keys of whoever issues JWTs; they are accepted beside API keys. Needs the extra `jwt`."""
    jwt_issuer: str | None = None
    """The `iss` that a JWT must have."""
    jwt_audience: str | None = None
    """The `aud` that a JWT must have."""
    allow_anonymous: bool = False
    """Whether the service may listen on another address than loopback and ask for no token."""
    allowed_hosts: str | None = None
    """Names by which the service may be asked (`Host`), with commas; addresses always may. Without it `localhost` alone where it listens on loopback,
    asks for no token and has no trusted proxies, and else every name."""
    rate_limit: str | None = None
    """Most requests of one key (without keys: of one client's address), like `600/minute`; replicas count together in Redis, when that is one
    server; else each for itself."""
    trusted_proxies: str | None = None
    """Addresses or networks of reverse proxies, with commas; their `X-Forwarded-For` says whose requests a rate limit counts."""
    trust_root: FilePath | None = None
    """File with the public keys that are trusted, one for each line; with it only manifolds that they vouch for are served."""
    signing_key: FilePath | None = None
    """Private Ed25519 key (PKCS#8 PEM) that signs manifests; without it they are not signed."""
    signing_certificate: FilePath | None = None
    """Certificate of the signing key; both are set, or none, and both are read again when a file is replaced."""
    signing_passphrase: SecretStr | None = None
    """Passphrase of the signing key, when its file is encrypted."""
    signature_lifetime_s: PositiveInt = 24 * 3600
    """How long a signed manifest is valid, in seconds; it is signed anew when half of that is over."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level that is logged: `debug`, `info`, `warning` or `error`."""
    log_format: Literal["text", "json"] = "text"
    """Form of the log on standard error: `text`, lines of text, or `json`, one JSON object a line."""

    @field_validator("models", mode="before")
    @classmethod
    def _check_location(cls, location: object) -> object:
        return check_location(location) if isinstance(location, str | os.PathLike) else location

    @field_validator("profiles", mode="before")
    @classmethod
    def _check_profiles(cls, location: object) -> object:
        return check_location(location, may_be_missing=True) if isinstance(location, str | os.PathLike) else location

    @field_validator("prewarm", mode="before")
    @classmethod
    def _split(cls, listed: object) -> object:
        return listed.split(",") if isinstance(listed, str) else listed

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, url: SecretStr | None, others: ValidationInfo) -> SecretStr | None:
        if url is not None:
            RedisUrl.parse(url.get_secret_value())
            if others.data.get("cache_dir") is not None:
                raise ValueError(f"Redis and a folder are alternatives, and {variable('cache_dir')} is set too; unset one of the two")
        return url

    @field_validator("cache_secret")
    @classmethod
    def _check_cache_secret(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and len(secret.get_secret_value()) < _MIN_SECRET:
            raise ValueError(f"expected at least {_MIN_SECRET} characters; `openssl rand -hex 32` makes good ones")
        return secret

    @field_validator("rate_limit")
    @classmethod
    def _check_rate(cls, rate: str | None) -> str | None:
        if rate is not None:
            parse_rate(rate)
        return rate

    @field_validator("allowed_hosts")
    @classmethod
    def _check_names(cls, names: str | None) -> str | None:
        for name in names.split(",") if names else ():
            if not _NAME.fullmatch(name.strip()):
                raise ValueError(f"{name.strip()!r} is no name of a host; expected names like models.example.org, without scheme, port or *")
        return names

    @field_validator("trusted_proxies")
    @classmethod
    def _check_networks(cls, networks: str | None) -> str | None:
        for network in networks.split(",") if networks else ():
            ip_network(network.strip())
        return networks

    @field_validator("signing_certificate")
    @classmethod
    def _check_pair(cls, certificate: Path | None, info: ValidationInfo) -> Path | None:
        if "signing_key" in info.data and (certificate is None) != (info.data["signing_key"] is None):
            raise ValueError("the signing key and its certificate belong together; set both or none")
        return certificate


def load_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings that the process environment makes.

    ``environment`` is searched for names that no setting has. Raises SettingsError, without the value of any secret.
    """
    known = [variable(field) for field in Settings.model_fields]
    for name in environment:
        if _is_ours(name.upper()) and name.upper() not in known:
            # Without what all have in common, which makes any two alike.
            close = get_close_matches(name.upper().removeprefix(PREFIX), [each.removeprefix(PREFIX) for each in known], n=1)
            hint = f" Did you mean {PREFIX}{close[0]}?" if close else ""
            raise SettingsError(f"{name} is not a setting.{hint} The settings are {', '.join(known)}.")
    try:
        return Settings()
    except ValidationError as error:
        field = error.errors(include_url=False, include_input=False)[0]["loc"][0]
        raise SettingsError(f"{variable(str(field))}: {complaint(error)}") from None


def _is_ours(name: str) -> bool:
    return name.startswith(PREFIX) and not name.startswith("NEUMETA_CLIENT_") and name != "NEUMETA_DATA"


def variable(field: str) -> str:
    """Name of a setting's environment variable."""
    return PREFIX + field.upper()
