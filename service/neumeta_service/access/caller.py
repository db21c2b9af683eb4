"""Who asks, and what for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from limits import RateLimitItem

Scope = Literal["read", "materialize", "admin"]
SCOPES: frozenset[str] = frozenset(get_args(Scope))
"""``read``: GET of models, artifacts and metrics, and plans; ``materialize``: everything that makes something; ``admin``: all of /v1/admin."""

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
    is_reading = method in ("GET", "HEAD") or path.endswith("/plan")
    return "read" if is_reading else "materialize"
