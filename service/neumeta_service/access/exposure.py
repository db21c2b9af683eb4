"""A service that asks for no token stays on this machine, unless it is told otherwise."""

from __future__ import annotations

from ipaddress import ip_address

from neumeta_service.settings import Settings, SettingsError


def check_exposure(settings: Settings) -> None:
    """Raises SettingsError when the settings would let everybody in who reaches an address other than loopback."""
    if _is_loopback(settings.host) or settings.api_keys_file or settings.jwt_keys_file or settings.allow_anonymous:
        return
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
