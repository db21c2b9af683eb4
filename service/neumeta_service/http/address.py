"""Whether the service can listen where it is to listen, before it loads anything."""

from __future__ import annotations

import socket

from neumeta_service.settings import Settings, SettingsError


def check_address(settings: Settings) -> None:
    """Raises SettingsError when the host is unknown, or not this machine's, or its port is taken or not to be had."""
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE):
            with socket.socket(family, kind, protocol) as probe:
                # As asyncio will: connections of a service that has just ended do not count, and IPv4 has sockets of its own.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family is socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(address)
    except OSError as error:
        where = f"NEUMETA_HOST is {settings.host} and NEUMETA_PORT {settings.port}"
        raise SettingsError(f"{where}, where nobody can listen: {error.strerror or error}. Stop what does, or choose others.") from None
