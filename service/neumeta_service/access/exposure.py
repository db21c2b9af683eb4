"""A service that asks for no token stays on this machine, unless it is told otherwise."""

from __future__ import annotations

from ipaddress import ip_address

from neumeta_service.settings import Settings, SettingsError


def enclosed(settings: Settings) -> Settings:
    """The settings, with ``localhost`` as the only name where nothing but loopback keeps others out.

    Raises SettingsError when they would let everybody in who reaches an address other than loopback.
    """
    if settings.api_keys_file or settings.jwt_keys_file:
        return settings
    if _is_loopback(settings.host):
        is_told = settings.allowed_hosts is not None or settings.trusted_proxies is not None
        return settings if is_told else settings.model_copy(update={"allowed_hosts": "localhost"})
    if settings.allow_anonymous:
        return settings
    raise SettingsError(
        f"NEUMETA_HOST is {settings.host}, where other machines reach the service, and it asks for no token. Set NEUMETA_API_KEYS_FILE "
        "(`neumeta-service api-keys new` makes the file) or NEUMETA_JWT_KEYS_FILE; or set NEUMETA_ALLOW_ANONYMOUS=1 if everybody who "
        "reaches it may use it."
    )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
