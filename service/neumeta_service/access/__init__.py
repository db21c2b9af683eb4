"""Who may ask for what, and how often: API keys, JWTs, scopes and rate limits."""

from neumeta_service.access.access import Access, build_access
from neumeta_service.access.exposure import enclosed

__all__ = ["Access", "build_access", "enclosed"]
