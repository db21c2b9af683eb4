"""Who asks, and what for."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal, get_args

from limits import RateLimitItem

Scope = Literal["read", "materialize", "profile", "admin"]
SCOPES: frozenset[str] = frozenset(get_args(Scope))
"""``read``: GET of models, artifacts and metrics, and plans; ``materialize``: everything that makes something; ``profile``: what devices
measured, which decides what others get; ``admin``: all of /v1/admin."""

_PROFILES = re.compile("/v1/models/[^/]+/profiles(/.*)?", re.DOTALL)
_OPEN = {"/", "/livez", "/readyz", "/docs", "/openapi.json"}
_OPEN_FOLDERS = ("/docs/", "/assets/")


@dataclass(frozen=True)
class Caller:
    """Somebody whose token was verified."""

    identity: str
    """Names the caller among all others: ``key:ID`` or ``jwt:SUBJECT``. No part of a secret."""
    scopes: frozenset[str]
    expires_at: float = math.inf
    """Seconds since 1970 after which the token is not valid any more."""
    rate: RateLimitItem | None = None
    """The caller's own rate limit, instead of the general one."""


def is_open(path: str) -> bool:
    """Whether a path asks for no token: health, the pages, and the description of the API, which tell nothing of this service."""
    return path in _OPEN or path.startswith(_OPEN_FOLDERS)


def needed_scope(method: str, path: str) -> Scope:
    """The scope that a request takes; what is new falls under one of them too."""
    if path.startswith("/v1/admin/") or path == "/v1/admin":
        return "admin"
    if method in ("GET", "HEAD"):
        return "read"
    if _PROFILES.fullmatch(path):  # First of all: a device may be called plan.
        return "profile"
    return "read" if path.endswith("/plan") else "materialize"
