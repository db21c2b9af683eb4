"""What a client is told once about what it keeps, what it trusts and how often it tries."""

from __future__ import annotations

import os
import re
from pathlib import Path

import platformdirs

from neumeta_client._errors import InvalidRequest
from neumeta_client._flows import Flows
from neumeta_client._local.cache import Cache
from neumeta_client._retry import Retries
from neumeta_client._trust.root import TrustRoot, Verifier
from neumeta_client._trust.seen import SeenVersions

DEFAULT_CACHE_LIMIT = 10**9
_YES, _NO = {"1", "true", "yes", "on"}, {"", "0", "false", "no", "off"}


def cache_folder(cache: str | os.PathLike[str] | None) -> Path:
    """Where artifacts are kept: the argument, else NEUMETA_CLIENT_CACHE, else the user's cache folder. Raises InvalidRequest."""
    chosen = cache if cache is not None else os.environ.get("NEUMETA_CLIENT_CACHE")
    try:
        return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("neumeta", appauthor=False)
    except RuntimeError as error:
        raise InvalidRequest(f"cache: {str(chosen)!r} is not allowed: {str(error).rstrip('.')}.") from error


def cache_limit_bytes(limit: int | None) -> int:
    """How much may be kept: the argument, else NEUMETA_CLIENT_CACHE_LIMIT, else 1 GB. Raises InvalidRequest."""
    text = os.environ.get("NEUMETA_CLIENT_CACHE_LIMIT", "")
    chosen = limit if limit is not None else (text or DEFAULT_CACHE_LIMIT)
    if isinstance(chosen, bool) or not re.fullmatch("[0-9]{1,100}", str(chosen)):
        raise InvalidRequest(f"cache_limit: {chosen!r} is not allowed; expected a number of bytes.")
    return int(chosen)


def is_offline(offline: bool | None) -> bool:
    """Whether the service may not be asked: the argument, else NEUMETA_CLIENT_OFFLINE. Raises InvalidRequest."""
    if offline is not None:
        return offline
    text = os.environ.get("NEUMETA_CLIENT_OFFLINE", "").lower()
    if text not in _YES | _NO:
        raise InvalidRequest(f"NEUMETA_CLIENT_OFFLINE: {text!r} is not allowed; expected 1 or 0.")
    return text in _YES


def make_flows(
    service: str,
    *,
    cache: str | os.PathLike[str] | None,
    cache_limit: int | None,
    offline: bool | None,
    retries: Retries | None,
    trust_root: str | os.PathLike[str] | TrustRoot | None,
) -> Flows:
    """The flows of a client of the service at this address. Raises InvalidRequest or MissingExtra."""
    folder = cache_folder(cache)
    checks = verifier(trust_root, folder)
    return Flows(
        service=service,
        cache=Cache(folder, verifies=checks is not None),
        cache_limit=cache_limit_bytes(cache_limit),
        verifier=checks,
        retries=retries or Retries(),
        offline=is_offline(offline),
    )


def verifier(root: str | os.PathLike[str] | TrustRoot | None, cache: Path) -> Verifier | None:
    """What checks manifests: by the argument, else NEUMETA_CLIENT_TRUST_ROOT; None without either. Raises InvalidRequest or MissingExtra.

    Only the variable may be empty: an argument is a wish to verify, and what was to be in it must not be missing silently.
    """
    chosen = root if root is not None else os.environ.get("NEUMETA_CLIENT_TRUST_ROOT") or None
    if chosen is None:
        return None
    trusted = TrustRoot.of(chosen)
    return Verifier(trusted, SeenVersions(trusted.seen or cache / "seen"))
