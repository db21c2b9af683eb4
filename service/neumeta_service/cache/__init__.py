"""Where artifacts are kept: a protocol and its tiers."""

from neumeta_service.cache.base import Cache, Entry, Origin
from neumeta_service.cache.disk import DiskCache
from neumeta_service.cache.lease import LeaseHolder
from neumeta_service.cache.memory import MemoryCache
from neumeta_service.cache.redis import RedisCache

__all__ = ["Cache", "DiskCache", "Entry", "LeaseHolder", "MemoryCache", "Origin", "RedisCache"]
